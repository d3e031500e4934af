#pragma once

#include "engine/kernels/activation.h"
#include "engine/kernels/cpu/simd.h"

namespace saccade::kernels::SACCADE_ISA {

// x / 2 (1 + erf(x / sqrt(2))), off by a few units in the last place of x / 2, as the reference's
// float32 is. The error function as u P(u^2) / Q(u^2): a fit of our own to its largest error over
// |u| <= 5.3, 2.5e-8. Beyond, it is 1 or -1 in float32.
static inline Vec gelu(Vec x) {
  constexpr float kEdge = 5.3f;
  const Vec u = clamp(x, -kEdge, kEdge);
  const Vec s = u * u;
  Vec p = splat(2.422049333823186e-10f);
  p = p * s - 4.5044178018627545e-8f;
  p = p * s + 6.076156422886403e-6f;
  p = p * s + 2.963435733176419e-4f;
  p = p * s + 8.729821895168386e-3f;
  p = p * s + 6.73937340100474e-2f;
  p = p * s + 7.978843977565699e-1f;
  Vec q = splat(5.5279689947583526e-5f);
  q = q * s + 1.7000725788851318e-3f;
  q = q * s + 2.7799059888287354e-2f;
  q = q * s + 2.511307958757907e-1f;
  q = q * s + 1.0f;
  const Vec half = 0.5f * x;
  return x < splat(-5.5f) ? splat(0) : half * (u * p / q) + half;
}

template <Activation A>
static inline Vec activated(Vec x) {
  constexpr float kSqrtTwoOverPi = 0.797884561f;
  if constexpr (A == Activation::kGelu) {
    return gelu(x);
  } else if constexpr (A == Activation::kGeluTanh) {
    const Vec inner = kSqrtTwoOverPi * (x + 0.044715f * x * x * x);
    return x / (1.0f + vexp(-2.0f * inner));  // the same as with tanh, without its cancellation
  } else if constexpr (A == Activation::kQuickGelu) {
    return x / (1.0f + vexp(-1.702f * x));
  } else if constexpr (A == Activation::kRelu) {
    return x < splat(0) ? splat(0) : x;  // NaN stays
  } else if constexpr (A == Activation::kSilu) {
    return x / (1.0f + vexp(-x));
  } else {
    return x;  // none, or one that has no kernel
  }
}

// Calls visit.template operator()<activation>(): the choice stands outside of the loops, which then
// keep its constants.
template <class Visit>
static inline void with_activation(Activation activation, const Visit& visit) {
  switch (activation) {
    case Activation::kGelu:
      return visit.template operator()<Activation::kGelu>();
    case Activation::kGeluTanh:
      return visit.template operator()<Activation::kGeluTanh>();
    case Activation::kQuickGelu:
      return visit.template operator()<Activation::kQuickGelu>();
    case Activation::kRelu:
      return visit.template operator()<Activation::kRelu>();
    case Activation::kSilu:
      return visit.template operator()<Activation::kSilu>();
    default:
      return visit.template operator()<Activation::kNone>();
  }
}

// One row: out = round(activation(x)).
template <Activation A, typename T>
static inline void activate_row(const T* x, T* out, int64_t width) {
  for_vectors(width,
              [&](int64_t i, int n) { store_part(out + i, activated<A>(load_part(x + i, n)), n); });
}

// One row: out = round(round(activation(x)) * up).
template <Activation A, typename T>
static inline void gate_row(const T* x, const T* up, T* out, int64_t width) {
  for_vectors(width, [&](int64_t i, int n) {
    const Vec opened = round_to(x, activated<A>(load_part(x + i, n)));
    store_part(out + i, opened * load_part(up + i, n), n);
  });
}

}  // namespace saccade::kernels::SACCADE_ISA
