#pragma once

#include <cstdint>
#include <cstring>

namespace saccade::kernels {

// How numbers are stored. Sums, softmax and norms are computed in float32 in both cases.
enum class ElementType { kFloat32, kBFloat16 };

constexpr int bytes_of(ElementType type) { return type == ElementType::kFloat32 ? 4 : 2; }

// Static: the kernels are compiled per instruction set, and the linker must not merge these.
// bf16 is the upper half of a float32.
static inline float bf16_to_float(uint16_t value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float out;
  std::memcpy(&out, &bits, sizeof out);
  return out;
}

// Rounds to nearest, ties to even, as torch does; every NaN becomes 0x7fc0.
static inline uint16_t float_to_bf16(float value) {
  if (value != value) return 0x7fc0;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits += 0x7fff + (bits >> 16 & 1);
  return static_cast<uint16_t>(bits >> 16);
}

}  // namespace saccade::kernels
