#pragma once

// The one multiplication loop under linear layers and prefill attention: rows of A times a strip of
// B that is 32 columns wide, sums kept in registers, k ascending.

#include "engine/kernels/cpu/simd.h"

namespace saccade::kernels::SACCADE_ISA {

inline constexpr int kStrip = 32;  // columns
inline constexpr int kStripVecs = kStrip / kLanes;
// Rows whose sums fit into the registers beside one row of B.
inline constexpr int kMaxRows = kLanes == 16 ? 12 : kLanes == 8 ? 3 : 1;

// Steps of k that B is fetched ahead: a weight streams from memory.
inline constexpr int kPrefetchSteps = 16;

// Both kinds of B hold 4 bytes per column and step of k: a float, or two bf16 of adjacent k. A
// holds the same 4 bytes per step.
struct FloatUnit {
  static inline Vec multiply_add(const char* a, const char* b, Vec sum) {
    float scalar;
    std::memcpy(&scalar, a, sizeof scalar);
    Vec v;
    std::memcpy(&v, b, sizeof v);
    return v * scalar + sum;
  }
};

struct PairUnit {
  static inline Vec multiply_add(const char* a, const char* b, Vec sum) {
    int32_t pair;
    std::memcpy(&pair, a, sizeof pair);
    IVec bits;
    std::memcpy(&bits, b, sizeof bits);
#if defined(__AVX512BF16__)
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)splat_int(pair), (__m512bh)bits);
#else
    const IVec scalar = splat_int(pair);
    constexpr int32_t kHigh = static_cast<int32_t>(0xffff0000);
    sum = (Vec)(bits << 16) * (Vec)(scalar << 16) + sum;
    return (Vec)(bits & kHigh) * (Vec)(scalar & kHigh) + sum;
#endif
  }
};

// sums[r][v] += sum over k of a[r][k] * b[k][v]. Strides in bytes.
template <class Unit, int R>
static inline void multiply(const char* a, int64_t a_stride, const char* b, int64_t b_stride,
                            int64_t depth, Vec (&sums)[R][kStripVecs]) {
  for (int64_t k = 0; k < depth; ++k) {
    if constexpr (kStripVecs == 2) {  // the row of b stays in registers, a is broadcast
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        sums[r][0] = Unit::multiply_add(a + r * a_stride + k * 4, b, sums[r][0]);
        sums[r][1] = Unit::multiply_add(a + r * a_stride + k * 4, b + sizeof(Vec), sums[r][1]);
      }
    } else {  // the few broadcasts stay in registers, the row of b passes
#pragma GCC unroll 16
      for (int v = 0; v < kStripVecs; ++v) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          sums[r][v] =
              Unit::multiply_add(a + r * a_stride + k * 4, b + v * sizeof(Vec), sums[r][v]);
        }
      }
    }
    __builtin_prefetch(b + kPrefetchSteps * b_stride);
    __builtin_prefetch(b + kPrefetchSteps * b_stride + 64);
    b += b_stride;
  }
}

// Calls visit.template operator()<R>(first_row) for groups of at most kMaxRows rows that cover m
// rows evenly.
template <int R, class Visit>
static inline void visit_group(int rows, int64_t first, const Visit& visit) {
  if (rows == R) {
    visit.template operator()<R>(first);
  } else if constexpr (R > 1) {
    visit_group<R - 1>(rows, first, visit);
  }
}
template <class Visit>
static inline void for_row_groups(int64_t m, const Visit& visit) {
  const int64_t groups = (m + kMaxRows - 1) / kMaxRows;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t first = m * g / groups;
    visit_group<kMaxRows>(static_cast<int>(m * (g + 1) / groups - first), first, visit);
  }
}

// c [m, n] (+)= a [m, depth] b [depth, n], float32 sums; n a multiple of 32. Strides in bytes for a
// and b, in floats for c.
template <class Unit>
static inline void multiply_block(const char* a, int64_t a_stride, int64_t m, const char* b,
                                  int64_t b_stride, int64_t depth, int64_t n, float* c,
                                  int64_t c_stride, bool accumulate) {
  for (int64_t column = 0; column < n; column += kStrip) {
    for_row_groups(m, [&]<int R>(int64_t first) {
      Vec sums[R][kStripVecs];
      float* to = c + first * c_stride + column;
      for (int r = 0; r < R; ++r) {
        for (int v = 0; v < kStripVecs; ++v) {
          sums[r][v] = accumulate ? load(to + r * c_stride + v * kLanes) : splat(0);
        }
      }
      multiply<Unit, R>(a + first * a_stride, a_stride, b + column * 4, b_stride, depth, sums);
      for (int r = 0; r < R; ++r) {
        for (int v = 0; v < kStripVecs; ++v) store(to + r * c_stride + v * kLanes, sums[r][v]);
      }
    });
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
