#include "server/media/resample_kernels.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#define SACCADE_AVX2 __attribute__((target("avx2")))
#endif

namespace saccade::media {
namespace {

constexpr int32_t kHalf = 1 << (kFractionBits - 1);

uint8_t to_byte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

void horizontal_portable(const uint8_t* in, size_t in_stride, int rows, const AxisWeights& axis,
                         uint8_t* out, size_t out_stride) {
  for (int y = 0; y < rows; ++y, in += in_stride, out += out_stride) {
    const int32_t* weights = axis.weights.data();
    for (size_t x = 0; x < axis.first.size(); ++x, weights += axis.taps) {
      const uint8_t* pixel = in + size_t(axis.first[x]) * 3;
      int32_t red = kHalf, green = kHalf, blue = kHalf;
      for (int i = 0; i < axis.count[x]; ++i, pixel += 3) {
        red += pixel[0] * weights[i];
        green += pixel[1] * weights[i];
        blue += pixel[2] * weights[i];
      }
      out[3 * x] = to_byte(red);
      out[3 * x + 1] = to_byte(green);
      out[3 * x + 2] = to_byte(blue);
    }
  }
}

void vertical_portable(const uint8_t* in, size_t in_stride, const int32_t* weights, int count,
                       size_t bytes, uint8_t* out) {
  constexpr size_t kBlock = 64;  // sums that stay in registers or the L1 cache
  for (size_t start = 0; start < bytes; start += kBlock) {
    const size_t size = std::min(kBlock, bytes - start);
    int32_t sums[kBlock];
    std::fill_n(sums, kBlock, kHalf);
    const uint8_t* row = in + start;
    for (int i = 0; i < count; ++i, row += in_stride) {
      for (size_t b = 0; b < size; ++b) sums[b] += row[b] * weights[i];
    }
    for (size_t b = 0; b < size; ++b) out[start + b] = to_byte(sums[b]);
  }
}

#if defined(__x86_64__)

// Bytes R0 G0 B0 R1 G1 B1 ... in both halves -> 32-bit R0 G0 B0 0 | R1 G1 B1 0, and the same of
// pixels 2 and 3.
SACCADE_AVX2 inline __m256i spread_mask(int pixel) {
  const char o = static_cast<char>(3 * pixel), z = -1;
  const char p = static_cast<char>(o + 3);
  return _mm256_setr_epi8(o, z, z, z, char(o + 1), z, z, z, char(o + 2), z, z, z, z, z, z, z, p, z,
                          z, z, char(p + 1), z, z, z, char(p + 2), z, z, z, z, z, z, z);
}

SACCADE_AVX2 inline void store_pixel(__m256i sums, uint8_t* out) {
  const __m128i sum =
      _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  const __m128i level = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(kHalf)), kFractionBits);
  const __m128i words = _mm_packs_epi32(level, level);
  const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  std::memcpy(out, &bytes, 3);
}

// Four taps at a time: two 8-lane products per row. All rows of the block share the weights.
template <int kRows>
SACCADE_AVX2 void horizontal_rows_avx2(const uint8_t* in, size_t in_stride, const AxisWeights& axis,
                                       uint8_t* out, size_t out_stride) {
  const __m256i first_pair = spread_mask(0), second_pair = spread_mask(2);
  const __m256i repeat01 = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m256i repeat23 = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  const int32_t* weights = axis.weights.data();
  for (size_t x = 0; x < axis.first.size(); ++x, weights += axis.taps) {
    const uint8_t* pixel = in + size_t(axis.first[x]) * 3;
    __m256i sums[kRows];
    for (__m256i& sum : sums) sum = _mm256_setzero_si256();
    for (int i = 0; i < axis.count[x]; i += kTapStep, pixel += 3 * kTapStep) {
      const __m256i four =
          _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weights + i)));
      const __m256i w01 = _mm256_permutevar8x32_epi32(four, repeat01);
      const __m256i w23 = _mm256_permutevar8x32_epi32(four, repeat23);
      for (int r = 0; r < kRows; ++r) {
        const __m256i bytes = _mm256_broadcastsi128_si256(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixel + size_t(r) * in_stride)));
        const __m256i p01 = _mm256_mullo_epi32(_mm256_shuffle_epi8(bytes, first_pair), w01);
        const __m256i p23 = _mm256_mullo_epi32(_mm256_shuffle_epi8(bytes, second_pair), w23);
        sums[r] = _mm256_add_epi32(sums[r], _mm256_add_epi32(p01, p23));
      }
    }
    for (int r = 0; r < kRows; ++r) store_pixel(sums[r], out + size_t(r) * out_stride + 3 * x);
  }
}

void horizontal_avx2(const uint8_t* in, size_t in_stride, int rows, const AxisWeights& axis,
                     uint8_t* out, size_t out_stride) {
  if (rows == kRowBlock) {
    horizontal_rows_avx2<kRowBlock>(in, in_stride, axis, out, out_stride);
    return;
  }
  for (int r = 0; r < rows; ++r) {
    horizontal_rows_avx2<1>(in + size_t(r) * in_stride, in_stride, axis,
                            out + size_t(r) * out_stride, out_stride);
  }
}

SACCADE_AVX2 inline __m256i load_8_bytes(const uint8_t* bytes) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
}

SACCADE_AVX2 void vertical_avx2(const uint8_t* in, size_t in_stride, const int32_t* weights,
                                int count, size_t bytes, uint8_t* out) {
  constexpr size_t kBlock = 32;
  // packs works within the two halves of a register; this undoes the interleaving.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  size_t start = 0;
  for (; start + kBlock <= bytes; start += kBlock) {
    __m256i sums[4];
    for (__m256i& sum : sums) sum = _mm256_set1_epi32(kHalf);
    const uint8_t* row = in + start;
    for (int i = 0; i < count; ++i, row += in_stride) {
      const __m256i weight = _mm256_set1_epi32(weights[i]);
      for (int k = 0; k < 4; ++k) {
        sums[k] = _mm256_add_epi32(sums[k], _mm256_mullo_epi32(load_8_bytes(row + 8 * k), weight));
      }
    }
    for (__m256i& sum : sums) sum = _mm256_srai_epi32(sum, kFractionBits);
    const __m256i low = _mm256_packs_epi32(sums[0], sums[1]);
    const __m256i high = _mm256_packs_epi32(sums[2], sums[3]);
    const __m256i all = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + start), all);
  }
  vertical_portable(in + start, in_stride, weights, count, bytes - start, out + start);
}

#endif

}  // namespace

const ResampleKernels& portable_kernels() {
  static constexpr ResampleKernels kKernels{horizontal_portable, vertical_portable};
  return kKernels;
}

const ResampleKernels& avx2_kernels() {
#if defined(__x86_64__)
  static constexpr ResampleKernels kKernels{horizontal_avx2, vertical_avx2};
  return kKernels;
#else
  return portable_kernels();
#endif
}

const ResampleKernels& best_kernels() {
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  if (has_avx2) return avx2_kernels();
#endif
  return portable_kernels();
}

}  // namespace saccade::media
