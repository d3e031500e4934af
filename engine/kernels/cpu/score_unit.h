#pragma once

// Products of queries and keys as decode computes them.

#include <type_traits>

#include "engine/kernels/cpu/fixed_point.h"

namespace saccade::kernels::SACCADE_ISA {

// How q meets keys of type K: as floats, as pairs of bf16 where the machine multiplies those, and
// keys of bytes as pairs of int16.
template <typename K>
struct ScoreUnit {
  static constexpr int kElements = Wide<K>::kElements;
  using Piece = Wide<K>;
  using Sum = Vec;
  static inline Piece load_piece(const K* p) { return load_wide(p); }
  static inline Piece load_piece_part(const K* p, int n) { return load_wide_part(p, n); }
  static inline Sum multiply_add(const Piece& q, const Piece& key, Sum sum) {
    for (int p = 0; p < Piece::kParts; ++p) sum = q.parts[p] * key.parts[p] + sum;
    return sum;
  }
  static inline Vec as_float(Sum sum) { return sum; }
};

#if defined(__AVX512BF16__)
template <>
struct ScoreUnit<Bf16> {
  static constexpr int kElements = 2 * kLanes;
  using Piece = __m512i;
  using Sum = Vec;
  static inline Piece load_piece(const Bf16* p) { return _mm512_loadu_si512(p); }
  static inline Piece load_piece_part(const Bf16* p, int n) {
    return _mm512_maskz_loadu_epi16((1u << n) - 1, p);
  }
  static inline Sum multiply_add(Piece q, Piece key, Sum sum) {
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)q, (__m512bh)key);
  }
  static inline Vec as_float(Sum sum) { return sum; }
};
#endif

#if defined(__AVX2__)
// Sums of integers: exact.
template <>
struct ScoreUnit<int8_t> {
  static constexpr int kElements = 2 * kLanes;
  using Piece = IVec;  // pairs of int16
  using Sum = IVec;
  static inline Piece load_piece(const int8_t* p) {
#if defined(__AVX512F__)
    return (IVec)_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#else
    return (IVec)_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#endif
  }
  static inline Piece load_piece_part(const int8_t* p, int n) {
    int8_t bytes[kElements] = {};
    std::memcpy(bytes, p, n);
    return load_piece(bytes);
  }
  static inline Sum multiply_add(Piece q, Piece key, Sum sum) {
#if defined(__AVX512VNNI__)
    return (IVec)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)q, (__m512i)key);
#elif defined(__AVX512F__)
    return sum + (IVec)_mm512_madd_epi16((__m512i)q, (__m512i)key);
#else
    return sum + (IVec)_mm256_madd_epi16((__m256i)q, (__m256i)key);
#endif
  }
  static inline Vec as_float(Sum sum) { return __builtin_convertvector(sum, Vec); }
};
#endif

template <typename K>
using QueryPiece = typename ScoreUnit<K>::Piece;

// One head's query [d] as the keys' unit takes it, [pieces]. Returns what its scores are to be
// multiplied with: integers have a step, the largest of 16 bits, or of fewer where a lane's sum of
// so many products would pass an int32.
template <typename K, typename T>
static inline float load_query(const T* q, int d, QueryPiece<K>* to) {
  using Unit = ScoreUnit<K>;
  constexpr bool kIntegers = std::is_same_v<typename Unit::Sum, IVec>;
  const int pieces = (d + Unit::kElements - 1) / Unit::kElements;
  float step = 1;
  if constexpr (kIntegers) {
    step = step_of(q, d, min_of(32767.0f, __builtin_floorf(0x1p30f / (127.0f * pieces))));
  }
  for (int c = 0; c < pieces; ++c) {
    const T* from = q + c * Unit::kElements;
    const int n = min_of(Unit::kElements, d - c * Unit::kElements);
    if constexpr (kIntegers) {
      int16_t integers[Unit::kElements] = {};
      divide_by_step(from, n, step, integers);
      std::memcpy(to + c, integers, sizeof integers);
    } else if constexpr (std::is_same_v<T, K>) {
      to[c] = n == Unit::kElements ? Unit::load_piece(from) : Unit::load_piece_part(from, n);
    } else {
      to[c] = {{load_part(from, n)}};
    }
  }
  return step;
}

}  // namespace saccade::kernels::SACCADE_ISA
