#pragma once

// Rows of numbers as integers times one step, the largest of them as large as it may be: what int8
// keys and values are, and the queries that meet the keys; and the activations that meet integer
// weights.

#include "engine/kernels/cpu/simd.h"

namespace saccade::kernels::SACCADE_ISA {

// max |x| / limit of n numbers; NaN where one of them is not finite.
template <typename T>
static inline float step_of(const T* x, int n, float limit) {
  Vec largest = splat(0), not_finite = splat(0);
  for (int i = 0; i < n; i += kLanes) {
    const Vec v = load_part(x + i, min_of(kLanes, n - i));
    largest = vmax(v < splat(0) ? -v : v, largest);
    not_finite += v - v;
  }
  return reduce_max(largest) / limit + reduce_add(not_finite);
}

// x factor to the nearest integer, ties to even, |x factor| < 2^22. The product is rounded before
// it meets a sum: a half must not depend on whether the instruction set multiplies and adds in one.
static inline IVec round_product(Vec x, Vec factor) {
  Vec product = x * factor;
#if defined(__x86_64__)
  __asm__("" : "+x"(product));
#endif
  return (IVec)(product + kRounding) - (IVec)splat(kRounding);
}

// out[i] = x[i] / step to the nearest integer, ties to even, |x[i] / step| < 2^22. 0 for steps that
// have no inverse.
template <typename T, typename Integer>
static inline void divide_by_step(const T* x, int n, float step, Integer* out) {
  const float inverse = step > 1e-37f ? 1.0f / step : 0.0f;
  for (int i = 0; i < n; i += kLanes) {
    const int count = min_of(kLanes, n - i);
    const IVec integers = round_product(load_part(x + i, count), splat(inverse));
    for (int j = 0; j < count; ++j) out[i + j] = static_cast<Integer>(integers[j]);
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
