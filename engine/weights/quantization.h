#pragma once

namespace saccade {

// How the linear layers of a decoder are stored: in the run's dtype, or rounded to integers at load
// (groups of 32 inputs with a scale each: 8.5 and 5 bits a weight). CPU only.
enum class Quantization { kNone, kInt8, kInt4 };

}  // namespace saccade
