#pragma once

// Vectors of the instruction set a file is compiled for. Included by the sources that are compiled
// once per set, with SACCADE_ISA the namespace of that set. Built on the compiler's vector types:
// +, -, *, < and ?: work on them as on numbers.

#include <cstdint>
#include <cstring>

#include "engine/kernels/element.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef SACCADE_ISA
#error "SACCADE_ISA is not set"
#endif

namespace saccade::kernels::SACCADE_ISA {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif
inline constexpr int kRegisters = kLanes == 16 ? 32 : 16;

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IVec __attribute__((vector_size(kLanes * 4)));

using Bf16 = uint16_t;

template <typename T>
static inline T min_of(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
static inline T max_of(T a, T b) {
  return a < b ? b : a;
}

static inline Vec splat(float value) { return value - Vec{}; }
static inline IVec splat_int(int32_t value) { return value - IVec{}; }

static inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
static inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
static inline IVec load(const int32_t* p) {
  IVec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

static inline Vec load(const Bf16* p) {
#if defined(__AVX512F__)
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
#elif defined(__AVX2__)
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return (Vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16);
#else
  Vec v;
  for (int i = 0; i < kLanes; ++i) v[i] = bf16_to_float(p[i]);
  return v;
#endif
}

static inline Vec load(const int8_t* p) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return (Vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
#elif defined(__AVX2__)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return (Vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
#else
  Vec v;
  for (int i = 0; i < kLanes; ++i) v[i] = p[i];
  return v;
#endif
}

static inline void store(Bf16* p, Vec v) {
#if defined(__AVX512BF16__)
  const __m256bh half = _mm512_cvtneps_pbh((__m512)v);
  std::memcpy(p, &half, sizeof half);
#elif defined(__AVX2__)
  IVec bits = (IVec)v;
  bits += 0x7fff + ((bits >> 16) & 1);
  const IVec rounded = v == v ? (bits >> 16) & 0xffff : splat_int(0x7fc0);
#if defined(__AVX512F__)
  const __m256i half = _mm512_cvtepi32_epi16((__m512i)rounded);
  std::memcpy(p, &half, sizeof half);
#else
  const __m256i packed = _mm256_packus_epi32((__m256i)rounded, (__m256i)rounded);
  const __m128i half = _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
  std::memcpy(p, &half, sizeof half);
#endif
#else
  for (int i = 0; i < kLanes; ++i) p[i] = float_to_bf16(v[i]);
#endif
}

// The first n lanes, 0 < n <= kLanes; the others are zero, their memory is not touched.
template <typename T>
static inline Vec load_part(const T* p, int n) {
  if (n >= kLanes) return load(p);
  T buffer[kLanes] = {};
  for (int i = 0; i < n; ++i) buffer[i] = p[i];
  return load(buffer);
}
template <typename T>
static inline void store_part(T* p, Vec v, int n) {
  if (n >= kLanes) return store(p, v);
  T buffer[kLanes];
  store(buffer, v);
  for (int i = 0; i < n; ++i) p[i] = buffer[i];
}

// Elements of T as they lie in one vector of memory, as floats: of bf16 the even ones, then the odd
// ones, which costs a shift and a mask where load() has to spread them first.
template <typename T>
struct Wide {
  static constexpr int kParts = sizeof(float) / sizeof(T);
  static constexpr int kElements = kParts * kLanes;
  Vec parts[kParts];
};

// Bytes are spread as they are converted: a vector of them, in their order.
template <>
struct Wide<int8_t> {
  static constexpr int kParts = 1;
  static constexpr int kElements = kLanes;
  Vec parts[kParts];
};

static inline Wide<int8_t> load_wide(const int8_t* p) { return {{load(p)}}; }
static inline Wide<float> load_wide(const float* p) { return {{load(p)}}; }
static inline Wide<Bf16> load_wide(const Bf16* p) {
  IVec pairs;
  std::memcpy(&pairs, p, sizeof pairs);
  return {{(Vec)(pairs << 16), (Vec)(pairs & static_cast<int32_t>(0xffff0000))}};
}

// The first n elements; the others are zero, their memory is not touched.
template <typename T>
static inline Wide<T> load_wide_part(const T* p, int n) {
  if (n >= Wide<T>::kElements) return load_wide(p);
  T buffer[Wide<T>::kElements] = {};
  for (int i = 0; i < n; ++i) buffer[i] = p[i];
  return load_wide(buffer);
}

// The first n elements of `wide`, n at most kElements, in their order.
static inline void store_wide(float* p, const Wide<float>& wide, int n) {
  store_part(p, wide.parts[0], n);
}
static inline void store_wide(float* p, const Wide<int8_t>& wide, int n) {
  store_part(p, wide.parts[0], n);
}
static inline void store_wide(float* p, const Wide<Bf16>& wide, int n) {
  float even[kLanes], odd[kLanes];
  store(even, wide.parts[0]);
  store(odd, wide.parts[1]);
  for (int i = 0; i < n; ++i) p[i] = i % 2 == 0 ? even[i / 2] : odd[i / 2];
}

static inline float load_one(const float* p) { return *p; }
static inline float load_one(const Bf16* p) { return bf16_to_float(*p); }

// v rounded to what T stores, as float32.
static inline Vec round_to(const float*, Vec v) { return v; }
static inline Vec round_to(const Bf16*, Vec v) {
#if defined(__AVX512BF16__)
  const auto half = (__m256i)_mm512_cvtneps_pbh((__m512)v);
  return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
#else
  IVec bits = (IVec)v;
  bits = (bits + 0x7fff + ((bits >> 16) & 1)) & static_cast<int32_t>(0xffff0000);
  return v == v ? (Vec)bits : (Vec)splat_int(0x7fc00000);
#endif
}

// Calls body(i, n) for n elements from i on: whole vectors, then the rest.
template <class Body>
static inline void for_vectors(int64_t width, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) body(i, kLanes);
  if (i < width) body(i, static_cast<int>(width - i));
}

// a > b ? a : b, and the like; written out, for g++ makes two instructions of it.
static inline Vec vmax(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}
static inline Vec vmin(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return a < b ? a : b;
#endif
}
// x within [low, high]; NaN stays.
static inline Vec clamp(Vec x, float low, float high) {
  return vmin(splat(high), vmax(splat(low), x));
}

// Whether any lane of a comparison holds.
static inline bool any(IVec lanes) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)lanes, (__m512i)lanes) != 0;
#elif defined(__AVX2__)
  return _mm256_testz_si256((__m256i)lanes, (__m256i)lanes) == 0;
#else
  int32_t either = 0;
  for (int i = 0; i < kLanes; ++i) either |= lanes[i];
  return either != 0;
#endif
}

static inline float reduce_add(Vec v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)v);
#else
  float total = 0;
  for (int i = 0; i < kLanes; ++i) total += v[i];
  return total;
#endif
}

static inline float reduce_max(Vec v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps((__m512)v);
#else
  float best = v[0];
  for (int i = 1; i < kLanes; ++i) best = v[i] > best ? v[i] : best;
  return best;
#endif
}

// Unrolled and inlined, so that the rows stay in registers.
template <int Distance>
[[gnu::always_inline]] static inline void transpose_pairs(Vec (&rows)[kLanes]) {
  IVec low, high;  // lanes of two rows, the second one's behind the first one's
  for (int i = 0; i < kLanes; ++i) {
    low[i] = (i & Distance) != 0 ? kLanes + i - Distance : i;
    high[i] = (i & Distance) != 0 ? kLanes + i : i + Distance;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if ((i & Distance) != 0) continue;
    const Vec a = rows[i], b = rows[i + Distance];
    rows[i] = __builtin_shuffle(a, b, low);
    rows[i + Distance] = __builtin_shuffle(a, b, high);
  }
}

// Lane j of row i becomes lane i of row j. Words move as they are, whatever they hold.
[[gnu::always_inline]] static inline void transpose(Vec (&rows)[kLanes]) {
  transpose_pairs<1>(rows);
  transpose_pairs<2>(rows);
  if constexpr (kLanes > 4) transpose_pairs<4>(rows);
  if constexpr (kLanes > 8) transpose_pairs<8>(rows);
}

// 1.5 * 2^23: a number below 2^22 that it is added to becomes an integer, the nearest, ties to
// even.
inline constexpr float kRounding = 12582912.0f;

// A number as n + r, n an integer and r at most 1/2 away from 0, and what 2^n is needed for.
struct Rounded {
  Vec n;
#if !defined(__AVX512F__)
  IVec exponent;  // n in its low bits
#endif
};
static inline Rounded round_to_integer(Vec x) {
#if defined(__AVX512F__)
  return {(Vec)_mm512_roundscale_ps((__m512)x, 0)};
#else
  const Vec shifted = x + kRounding;
  return {shifted - kRounding, (IVec)shifted};
#endif
}
// y * 2^n, y from about 0.7 to 1.5.
static inline Vec times_power(Vec y, const Rounded& n) {
#if defined(__AVX512F__)
  return (Vec)_mm512_scalef_ps((__m512)y, (__m512)n.n);
#else
  return (Vec)((IVec)y + (n.exponent << 23));
#endif
}

// e^x within 2 units in the last place; 0 below -87.3 (so also for -inf), and for x above 88.3 the
// value there, which is still finite. NaN stays NaN.
static inline Vec vexp(Vec x) {
  constexpr float kLow = -87.3f;
  const Vec clamped = clamp(x, kLow, 88.3f);
  const Rounded whole = round_to_integer(clamped * 1.44269504f);
  Vec r = clamped - whole.n * 0.693359375f;
  r = r + whole.n * 2.12194440e-4f;
  Vec y = splat(1.9875691500e-4f);
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  return x < splat(kLow) ? splat(0) : times_power(y, whole);
}

// 2^x within 3 units in the last place, x at most 127; 2^-126 below -126 (so also for -inf). NaN
// stays NaN. The polynomial is a fit of our own to the smallest relative error over |r| <= 1/2,
// 9.1e-8.
static inline Vec vexp2(Vec x) {
  const Vec clamped = vmax(splat(-126.0f), x);
  const Rounded whole = round_to_integer(clamped);
  const Vec r = clamped - whole.n;
  Vec y = splat(1.3264727e-3f);
  y = y * r + 9.6715128e-3f;
  y = y * r + 5.5507337e-2f;
  y = y * r + 2.4022242e-1f;
  y = y * r + 6.9314698e-1f;
  y = y * r + 1.0f;
  return times_power(y, whole);
}

// tanh(x) within 3 units in the last place. Around 0 a polynomial: there the quotient would cancel.
static inline Vec vtanh(Vec x) {
  constexpr float kSmall = 0.625f;
  const Vec large = 1.0f - 2.0f / (vexp(2.0f * x) + 1.0f);
  const Vec z = x * x;
  Vec y = splat(-5.70498872745e-3f);
  y = y * z + 2.06390887954e-2f;
  y = y * z - 5.37397155531e-2f;
  y = y * z + 1.33314422036e-1f;
  y = y * z - 3.33332819422e-1f;
  y = y * z * x + x;
  const Vec size = x < splat(0) ? -x : x;
  return size < splat(kSmall) ? y : large;
}

}  // namespace saccade::kernels::SACCADE_ISA
