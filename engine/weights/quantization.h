#pragma once

namespace saccade {

// How the linear layers of a decoder are stored: in the run's dtype, or as integers (groups of 32
// inputs with a scale each: 8.5 and 5 bits a weight; CPU only).
enum class Quantization {
  kAsStored,  // integers where the file has blocks of them (GGUF), else the run's dtype
  kNone,      // the run's dtype
  kInt8,      // rounded at load
  kInt4,
};

}  // namespace saccade
