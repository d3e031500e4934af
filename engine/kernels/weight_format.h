#pragma once

namespace saccade::kernels {

// How a packed weight is stored. The integer formats keep groups of 32 consecutive inputs of one
// output with a scale of their own, in the precision of GGUF's Q8_0 and Q4_1.
enum class WeightFormat {
  kFloat32,
  kBFloat16,
  kInt8,  // w = scale q, q in [-127, 127]: 8.5 bits a weight
  kInt4,  // w = scale q + min, q in [0, 15]: 5 bits a weight
};

// Inputs that share a scale.
inline constexpr int kQuantGroup = 32;

}  // namespace saccade::kernels
