#pragma once

// Products of four bytes per lane, summed in int32: what integer weights are multiplied with. Exact
// on every instruction set.

#include "engine/kernels/cpu/simd.h"

namespace saccade::kernels::SACCADE_ISA {

static inline IVec load_bytes(const void* p) {
  IVec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

static inline Vec to_float(IVec v) { return __builtin_convertvector(v, Vec); }

// kLanes numbers of binary16.
static inline Vec load_half(const uint16_t* p) {
#if defined(__AVX512F__)
  return (Vec)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__AVX2__)
  return (Vec)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  Vec v;
  for (int i = 0; i < kLanes; ++i) {
    const uint32_t half = p[i];
    const uint32_t sign = (half & 0x8000) << 16, mantissa = half & 0x3ff;
    const uint32_t exponent = half >> 10 & 0x1f;
    const uint32_t bits =
        exponent == 31 ? 0x7f800000 | mantissa << 13 : (exponent + 112) << 23 | mantissa << 13;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    if (exponent == 0) value = static_cast<float>(mantissa) * 0x1p-24f;
    v[i] = sign != 0 ? -value : value;
  }
  return v;
#endif
}

#if defined(__AVX512VNNI__)
// The machine multiplies unsigned by signed: int8 activations are stored 128 higher, and 128 times
// the sum of the weights is taken off again.
inline constexpr int kActivationOffset = 128;
#else
inline constexpr int kActivationOffset = 0;
#endif

// Four activations against four signed weights per lane.
struct Int8Weights {
#if defined(__AVX512VNNI__)
  explicit Int8Weights(const void* p) : w(load_bytes(p)) {}
  IVec dot(IVec x, IVec sum) const {
    return (IVec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)w);
  }
  // What the offset of the activations adds to a sum.
  IVec excess(IVec sum) const { return dot(splat_int(0x01010101), sum); }
  IVec w;
#elif defined(__AVX512F__)
  // Without VNNI: pairs in int16, of the two halves of each lane.
  explicit Int8Weights(const void* p)
      : even((IVec)_mm512_srai_epi16(_mm512_slli_epi16((__m512i)load_bytes(p), 8), 8)),
        odd((IVec)_mm512_srai_epi16((__m512i)load_bytes(p), 8)) {}
  IVec dot(IVec x, IVec sum) const {
    const __m512i x_even = _mm512_srai_epi16(_mm512_slli_epi16((__m512i)x, 8), 8);
    const __m512i x_odd = _mm512_srai_epi16((__m512i)x, 8);
    return sum + (IVec)_mm512_madd_epi16((__m512i)even, x_even) +
           (IVec)_mm512_madd_epi16((__m512i)odd, x_odd);
  }
  IVec excess(IVec sum) const { return sum; }
  IVec even, odd;
#elif defined(__AVX2__)
  explicit Int8Weights(const void* p)
      : w(load_bytes(p)), magnitude((IVec)_mm256_abs_epi8((__m256i)w)) {}
  // |w| times x with w's sign: at most 2 * 127 * 127, within int16.
  IVec dot(IVec x, IVec sum) const {
    const __m256i signed_x = _mm256_sign_epi8((__m256i)x, (__m256i)w);
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)magnitude, signed_x);
    return sum + (IVec)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
  IVec excess(IVec sum) const { return sum; }
  IVec w, magnitude;
#else
  explicit Int8Weights(const void* p) : w(load_bytes(p)) {}
  IVec dot(IVec x, IVec sum) const {
    for (int shift = 0; shift < 32; shift += 8) {
      sum += ((w << (24 - shift)) >> 24) * ((x << (24 - shift)) >> 24);
    }
    return sum;
  }
  IVec excess(IVec sum) const { return sum; }
  IVec w;
#endif
};

// Four signed activations against four weights in [0, 15] per lane. Without VNNI the sums of one
// group are kept as pairs of int16: at most 8 * 2 * 15 * 127, within int16.
struct Int4Weights {
  explicit Int4Weights(IVec nibbles) : w(nibbles) {}
  IVec dot(IVec x, IVec sum) const {
#if defined(__AVX512VNNI__)
    return (IVec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x);
#elif defined(__AVX512F__)
    return (IVec)_mm512_add_epi16((__m512i)sum, _mm512_maddubs_epi16((__m512i)w, (__m512i)x));
#elif defined(__AVX2__)
    return (IVec)_mm256_add_epi16((__m256i)sum, _mm256_maddubs_epi16((__m256i)w, (__m256i)x));
#else
    for (int shift = 0; shift < 32; shift += 8) {
      sum += ((w >> shift) & 15) * ((x << (24 - shift)) >> 24);
    }
    return sum;
#endif
  }
  // The sums of a group as int32.
  static IVec total(IVec sum) {
#if defined(__AVX512VNNI__)
    return sum;
#elif defined(__AVX512F__)
    return (IVec)_mm512_madd_epi16((__m512i)sum, _mm512_set1_epi16(1));
#elif defined(__AVX2__)
    return (IVec)_mm256_madd_epi16((__m256i)sum, _mm256_set1_epi16(1));
#else
    return sum;
#endif
  }
  IVec w;
};

}  // namespace saccade::kernels::SACCADE_ISA
