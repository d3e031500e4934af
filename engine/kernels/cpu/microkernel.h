#pragma once

// The one multiplication loop under linear layers and prefill attention: rows of A times a strip of
// B that is 32 columns wide, sums kept in registers, k ascending.

#include "engine/kernels/cpu/simd.h"

namespace saccade::kernels::SACCADE_ISA {

inline constexpr int kStrip = 32;  // columns
inline constexpr int kStripVecs = kStrip / kLanes;
// Rows whose sums fit into the registers beside a row of B that is kTileVecs<rows> wide.
inline constexpr int kMaxRows = kLanes == 16 ? 12 : kLanes == 8 ? 6 : 4;
// Vectors of a strip that are multiplied at a time: one or two rows take the whole strip, since
// what they wait for is memory; more rows share the registers with half of it or less.
template <int R>
inline constexpr int kTileVecs = kStripVecs > 2 && R > (kLanes == 8 ? 2 : 1) ? 2 : kStripVecs;

// What is brought into the cache while B is multiplied, a piece with each step of k: lines cost a
// load each, so a strip that is in the cache already asks for none.
struct NoPrefetch {
  void step() {}
};
// How a strip is fetched as it streams in from memory. AMD's AVX-512 cores take up more lines than
// their first cache can wait for: into the second one, few rows closely behind it, more rows, which
// have work to do meanwhile, further ahead. Elsewhere (cores with AMX or AVX2 alone) that was
// slower.
#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)
inline constexpr bool kFetchFar = true;
#else
inline constexpr bool kFetchFar = false;
#endif
inline constexpr int kFetchInto = kFetchFar ? 2 : 3;  // of __builtin_prefetch: which cache
template <int R>
inline constexpr int64_t kFetchSteps = (kFetchFar && R > 2) ? 48 : 16;  // of k
template <int R, int kLines>
struct StreamAhead {
  StreamAhead(const char* b, int64_t b_stride)
      : next(b + kFetchSteps<R> * b_stride), stride(b_stride) {}
  void step() {
    for (int line = 0; line < kLines; ++line) __builtin_prefetch(next + 64 * line, 0, kFetchInto);
    next += stride;
  }
  const char* next;
  int64_t stride;
};
// What is read after this, into the second-level cache; at most one line with each step.
struct FetchNext {
  void step() {
    __builtin_prefetch(next, 0, 2);
    next += bytes_per_step;
  }
  const char* next;
  int64_t bytes_per_step;  // at most 64
};

// sums[r][v] += a[r] row[v], the rows of A floats `a_stride` bytes apart.
template <int R, int V>
static inline void add_products(const char* a, int64_t a_stride, const Vec (&row)[V],
                                Vec (&sums)[R][V]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const Vec scalar = splat(load_one(reinterpret_cast<const float*>(a + r * a_stride)));
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sums[r][v] = row[v] * scalar + sums[r][v];
  }
}

// sums[r][v] += a[r] b[v] for one step of k. B holds 4 bytes per column and step: a float, or two
// bf16 of adjacent k. A row of A holds kStepBytes per step.
struct FloatUnit {
  static constexpr int kStepBytes = 4;
  template <int R, int V>
  static inline void step(const char* a, int64_t a_stride, const char* b, Vec (&sums)[R][V]) {
    Vec row[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) std::memcpy(&row[v], b + v * sizeof(Vec), sizeof(Vec));
    add_products<R, V>(a, a_stride, row, sums);
  }
};

#if defined(__AVX512BF16__)
// bf16 by bf16, where the machine multiplies pairs of them.
struct PairUnit {
  static constexpr int kStepBytes = 4;
  template <int R, int V>
  static inline void step(const char* a, int64_t a_stride, const char* b, Vec (&sums)[R][V]) {
    IVec row[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) std::memcpy(&row[v], b + v * sizeof(Vec), sizeof(Vec));
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      std::memcpy(&pair, a + r * a_stride, sizeof pair);
      const IVec pairs = splat_int(pair);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        sums[r][v] = (Vec)_mm512_dpbf16_ps((__m512)sums[r][v], (__m512bh)pairs, (__m512bh)row[v]);
      }
    }
  }
};
#endif

// Float by bf16 elsewhere: the rows of A were widened before, those of B are widened here, once for
// all rows.
struct WidenedUnit {
  static constexpr int kStepBytes = 8;
  template <int R, int V>
  static inline void step(const char* a, int64_t a_stride, const char* b, Vec (&sums)[R][V]) {
    half_step<R, V, false>(a, a_stride, b, sums);
    half_step<R, V, true>(a + sizeof(float), a_stride, b, sums);
  }

 private:
  template <int R, int V, bool kUpper>
  static inline void half_step(const char* a, int64_t a_stride, const char* b, Vec (&sums)[R][V]) {
    constexpr int32_t kHigh = static_cast<int32_t>(0xffff0000);
    Vec row[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      IVec bits;
      std::memcpy(&bits, b + v * sizeof bits, sizeof bits);
      row[v] = (Vec)(kUpper ? bits & kHigh : bits << 16);
    }
    add_products<R, V>(a, a_stride, row, sums);
  }
};

// What multiplies bf16 matrices: x as bf16 pairs, or widened to float first.
#if defined(__AVX512BF16__)
using Bf16Unit = PairUnit;
#else
using Bf16Unit = WidenedUnit;
#endif

// As loops: g++ clears a whole array in memory, by an instruction that costs more than a short k.
template <int R, int V>
static inline void clear(Vec (&sums)[R][V]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sums[r][v] = splat(0);
  }
}

// sums[r][v] += sum over k of a[r][k] * b[k][v]. Strides in bytes.
template <class Unit, int R, int V, class Prefetch>
static inline void multiply(const char* a, int64_t a_stride, const char* b, int64_t b_stride,
                            int64_t depth, Prefetch prefetch, Vec (&sums)[R][V]) {
  for (int64_t k = 0; k < depth; ++k) {
    Unit::template step<R, V>(a + k * Unit::kStepBytes, a_stride, b, sums);
    prefetch.step();
    b += b_stride;
  }
}

// sums + bias -> y, of which `columns` exist.
template <typename Out, int R, int V>
static inline void finish(const Vec (&sums)[R][V], const float* bias, Out* y, int64_t y_stride,
                          int64_t columns) {
  for (int v = 0; v < V; ++v) {
    const int n = static_cast<int>(min_of<int64_t>(kLanes, columns - v * kLanes));
    if (n <= 0) break;
    const Vec offset = bias == nullptr ? splat(0) : load_part(bias + v * kLanes, n);
    for (int r = 0; r < R; ++r) store_part(y + r * y_stride + v * kLanes, sums[r][v] + offset, n);
  }
}

constexpr int64_t row_groups(int64_t m, int64_t most) { return (m + most - 1) / most; }

// Calls visit.template operator()<R>(first_row) for groups of at most Most rows that cover m rows
// evenly.
template <int R, class Visit>
static inline void visit_group(int rows, int64_t first, const Visit& visit) {
  if (rows == R) {
    visit.template operator()<R>(first);
  } else if constexpr (R > 1) {
    visit_group<R - 1>(rows, first, visit);
  }
}
template <int Most = kMaxRows, class Visit>
static inline void for_row_groups(int64_t m, const Visit& visit) {
  const int64_t groups = row_groups(m, Most);
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t first = m * g / groups;
    visit_group<Most>(static_cast<int>(m * (g + 1) / groups - first), first, visit);
  }
}

// c [R, V vectors] (+)= a [R, depth] b [depth, V vectors].
template <class Unit, int R, int V>
static inline void multiply_tile(const char* a, int64_t a_stride, const char* b, int64_t b_stride,
                                 int64_t depth, float* c, int64_t c_stride, bool accumulate) {
  Vec sums[R][V];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      sums[r][v] = accumulate ? load(c + r * c_stride + v * kLanes) : splat(0);
    }
  }
  multiply<Unit, R, V>(a, a_stride, b, b_stride, depth, NoPrefetch(), sums);
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) store(c + r * c_stride + v * kLanes, sums[r][v]);
  }
}

// c [m, n] (+)= a [m, depth] b [depth, n], float32 sums; n a multiple of kLanes. Strides in bytes
// for a and b, in floats for c.
template <class Unit>
static inline void multiply_block(const char* a, int64_t a_stride, int64_t m, const char* b,
                                  int64_t b_stride, int64_t depth, int64_t n, float* c,
                                  int64_t c_stride, bool accumulate) {
  for_row_groups(m, [&]<int R>(int64_t first) {
    constexpr int V = kTileVecs<R>;
    const char* rows = a + first * a_stride;
    float* to = c + first * c_stride;
    int64_t column = 0;
    for (; column + V * kLanes <= n; column += V * kLanes) {
      multiply_tile<Unit, R, V>(rows, a_stride, b + column * 4, b_stride, depth, to + column,
                                c_stride, accumulate);
    }
    for (; column < n; column += kLanes) {
      multiply_tile<Unit, R, 1>(rows, a_stride, b + column * 4, b_stride, depth, to + column,
                                c_stride, accumulate);
    }
  });
}

}  // namespace saccade::kernels::SACCADE_ISA
