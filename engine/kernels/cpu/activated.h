#pragma once

#include "engine/kernels/activation.h"
#include "engine/kernels/cpu/simd.h"

namespace saccade::kernels::SACCADE_ISA {

// x / 2 (1 + erf(x / sqrt(2))), off by no more than rounding. On the side of |x| the half that erfc
// leaves: e^(-z^2) t P(t) with t = 1 / (1 + z / 2), the form of Abramowitz and Stegun 7.1.26; P is
// fitted to the relative error over z in [0, 9], 4e-8 at most.
static inline Vec gelu(Vec x) {
  const Vec size = x < splat(0) ? -x : x;
  const Vec z = size * 0.707106781f;
  const Vec t = 1.0f / (1.0f + 0.5f * z);
  Vec p = splat(-5.864125214e-2f);
  p = p * t + 2.824756291e-1f;
  p = p * t - 4.828230243e-1f;
  p = p * t + 2.730199465e-1f;
  p = p * t - 2.311648205e-2f;
  p = p * t + 2.011859384e-1f;
  p = p * t + 2.434879859e-1f;
  p = p * t + 2.823216864e-1f;
  p = p * t + 2.820895310e-1f;
  const Vec tail = 0.5f * x * (p * t * vexp(-z * z));
  return x < splat(0) ? tail : x - tail;
}

static inline Vec activated(Activation activation, Vec x) {
  constexpr float kSqrtTwoOverPi = 0.797884561f;
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return gelu(x);
    case Activation::kGeluTanh: {
      const Vec inner = kSqrtTwoOverPi * (x + 0.044715f * x * x * x);
      return x / (1.0f + vexp(-2.0f * inner));  // the same as with tanh, without its cancellation
    }
    case Activation::kQuickGelu:
      return x / (1.0f + vexp(-1.702f * x));
    case Activation::kRelu:
      return x < splat(0) ? splat(0) : x;  // NaN stays
    case Activation::kSilu:
      return x / (1.0f + vexp(-x));
    default:
      return x;  // has no kernel
  }
}

// One row: out = round(activation(x)).
template <typename T>
static inline void activate_row(Activation activation, const T* x, T* out, int64_t width) {
  for (int64_t i = 0; i < width; i += kLanes) {
    const int n = static_cast<int>(min_of<int64_t>(kLanes, width - i));
    store_part(out + i, activated(activation, load_part(x + i, n)), n);
  }
}

// One row: out = round(round(activation(x)) * up).
template <typename T>
static inline void gate_row(Activation activation, const T* x, const T* up, T* out, int64_t width) {
  for (int64_t i = 0; i < width; i += kLanes) {
    const int n = static_cast<int>(min_of<int64_t>(kLanes, width - i));
    const Vec opened = round_to(x, activated(activation, load_part(x + i, n)));
    store_part(out + i, opened * load_part(up + i, n), n);
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
