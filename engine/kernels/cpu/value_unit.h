#pragma once

// Products of softmax weights and values as decode computes them.

#include "engine/kernels/cpu/simd.h"

namespace saccade::kernels::SACCADE_ISA {

// How weights meet values of type K: as floats, one key at a time, and values of bf16 as pairs of
// keys where the machine multiplies those.
template <typename K>
struct ValueUnit {
  static constexpr int kKeys = 1;  // of one step
  static constexpr int kParts = Wide<K>::kParts;
  static constexpr int kElements = Wide<K>::kElements;
  using Weight = float;
  using Values = Wide<K>;
  using Sums = Wide<K>;

  // Elements of a key, the first n of them; the others are zero.
  static inline Values load(const K* value, int /*stride*/, int /*keys*/, int n) {
    return load_wide_part(value, n);
  }
  static inline Vec weight(const float* weights, int /*keys*/) { return splat(*weights); }
  static inline void multiply_add(const Values& values, Vec weight, Sums& sums) {
    for (int p = 0; p < kParts; ++p) {
      sums.parts[p] = values.parts[p] * weight + sums.parts[p];
    }
  }
  static inline void store(float* to, const Sums& sums, int n) { store_wide(to, sums, n); }
  // Makes n weights in place what weight() takes.
  static inline void convert(float* /*weights*/, int /*n*/) {}
};

#if defined(__AVX512BF16__)
template <>
struct ValueUnit<Bf16> {
  static constexpr int kKeys = 2;
  static constexpr int kParts = 2;
  static constexpr int kElements = 2 * kLanes;
  using Weight = Bf16;
  // Pairs of two keys' elements: of each 8 the first 4, then the last 4.
  struct Values {
    __m512i low, high;
  };
  struct Sums {
    Vec low, high;
  };

  // Of `keys` keys, `stride` elements apart; one that is not there is zero.
  static inline Values load(const Bf16* value, int stride, int keys, int n) {
    const __m512i first = load_elements(value, n);
    const __m512i second = keys > 1 ? load_elements(value + stride, n) : __m512i{};
    return {_mm512_unpacklo_epi16(first, second), _mm512_unpackhi_epi16(first, second)};
  }
  static inline Vec weight(const Bf16* weights, int keys) {
    if (keys == 1) return (Vec)splat_int(*weights);
    int32_t pair;
    std::memcpy(&pair, weights, sizeof pair);
    return (Vec)splat_int(pair);
  }
  static inline void multiply_add(const Values& values, Vec weight, Sums& sums) {
    sums.low = (Vec)_mm512_dpbf16_ps((__m512)sums.low, (__m512bh)values.low, (__m512bh)weight);
    sums.high = (Vec)_mm512_dpbf16_ps((__m512)sums.high, (__m512bh)values.high, (__m512bh)weight);
  }
  static inline void store(float* to, const Sums& sums, int n) {
    constexpr IVec kFirst = {0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23};
    constexpr IVec kLast = {8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31};
    store_part(to, __builtin_shuffle(sums.low, sums.high, kFirst), n);
    if (n > kLanes) {
      store_part(to + kLanes, __builtin_shuffle(sums.low, sums.high, kLast), n - kLanes);
    }
  }
  static inline void convert(float* weights, int n) {
    auto* narrow = reinterpret_cast<Bf16*>(weights);
    for (int i = 0; i < n; i += kLanes) {
      const int part = min_of(kLanes, n - i);
      store_part(narrow + i, load_part(weights + i, part), part);
    }
  }

 private:
  static inline __m512i load_elements(const Bf16* p, int n) {
    return n >= kElements ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16((1u << n) - 1, p);
  }
};
#endif

}  // namespace saccade::kernels::SACCADE_ISA
