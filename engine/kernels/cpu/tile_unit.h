#pragma once

// Operands of prefill attention per element type, in the layout of the multiplication loop
// (microkernel.h): words of one float, or of a pair of bf16 where the machine multiplies those.
// Elsewhere everything is widened to float as it is packed.

#include "engine/kernels/cpu/microkernel.h"

namespace saccade::kernels::SACCADE_ISA {

// The first n elements, n from 0 on; the others are zero.
template <typename T>
static inline Vec load_upto(const T* p, int n) {
  return n > 0 ? load_part(p, n) : splat(0);
}

template <typename T>
struct FloatTileUnit {
  using Multiply = FloatUnit;
  static constexpr int kPerStep = 1;

  // kLanes words of a row of d elements, from `step` on.
  static inline Vec steps_of(const T* row, int step, int d) {
    return load_upto(row + step, d - step);
  }
  // Columns from `column` on of the keys of a step, for `count` keys of d elements.
  static inline Vec values_of(const T* const* values, int count, int step, int column, int d) {
    return step < count ? load_upto(values[step] + column, d - column) : splat(0);
  }
  static inline void store_weights(uint32_t* to, const Vec (&weights)[1]) {
    const Vec rounded = round_to(static_cast<const T*>(nullptr), weights[0]);
    std::memcpy(to, &rounded, sizeof rounded);
  }
};

#if defined(__AVX512BF16__)
struct PairTileUnit {
  using Multiply = PairUnit;
  static constexpr int kPerStep = 2;

  static inline Vec steps_of(const Bf16* row, int step, int d) {
    const int n = d - 2 * step;
    if (n >= 2 * kLanes) return (Vec)_mm512_loadu_si512(row + 2 * step);
    return n > 0 ? (Vec)_mm512_maskz_loadu_epi16((1u << n) - 1, row + 2 * step) : splat(0);
  }
  static inline Vec values_of(const Bf16* const* values, int count, int step, int column, int d) {
    const int key = 2 * step, n = d - column;
    const __m512i first = key < count ? words(values[key] + column, n) : __m512i{};
    const __m512i second = key + 1 < count ? words(values[key + 1] + column, n) : __m512i{};
    return (Vec)_mm512_or_si512(first, _mm512_slli_epi32(second, 16));
  }
  static inline void store_weights(uint32_t* to, const Vec (&weights)[2]) {
    // Both as one vector of bf16, those of the second step behind those of the first, then in
    // turns.
    const auto halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)weights[1], (__m512)weights[0]);
    alignas(64) static constexpr uint16_t kInTurns[2 * kLanes] = {
        0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(_mm512_load_si512(kInTurns), halves));
  }

 private:
  static inline __m512i words(const Bf16* p, int n) {
    if (n >= kLanes) {
      return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16((1u << n) - 1, p));
  }
};
template <typename T>
struct TileUnitOf {
  using Type = FloatTileUnit<T>;
};
template <>
struct TileUnitOf<Bf16> {
  using Type = PairTileUnit;
};
#else
template <typename T>
struct TileUnitOf {
  using Type = FloatTileUnit<T>;
};
#endif

// out[column][row] = words(row, column ...)[0 ...] for rows, a multiple of kLanes, and columns;
// words(row, column) gives kLanes of them.
template <class Words>
static inline void transpose_words(int rows, int columns, uint32_t* out, int64_t out_stride,
                                   const Words& words) {
  for (int row = 0; row < rows; row += kLanes) {
    for (int column = 0; column < columns; column += kLanes) {
      Vec square[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) square[i] = words(row + i, column);
      transpose(square);
      uint32_t* to = out + column * out_stride + row;
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i, to += out_stride) {
        if (column + i < columns) std::memcpy(to, &square[i], sizeof square[i]);
      }
    }
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
