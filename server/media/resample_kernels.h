#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/media/resample.h"

namespace saccade::media {

// Which input pixels make up each output pixel along one axis, and with what weight.
struct AxisWeights {
  int taps = 0;                  // stored per output: the longest filter, rounded up to kTapStep
  std::vector<int32_t> first;    // [outputs] first input pixel
  std::vector<int32_t> count;    // [outputs] input pixels that count; the other weights are 0
  std::vector<int32_t> weights;  // [outputs, taps], kFractionBits fractional bits
};

constexpr int kFractionBits = 22;  // 8 bits of pixel, 2 of overshoot and the sign make up the 32
constexpr int kTapStep = 4;
// Kernels may read this many bytes behind the last pixel a filter needs.
constexpr size_t kReadSlack = 32;

// One implementation of both passes over interleaved 8-bit RGB.
struct ResampleKernels {
  // `rows` (1 or kRowBlock) input rows, `in_stride` bytes apart, to as many output rows.
  void (*horizontal)(const uint8_t* in, size_t in_stride, int rows, const AxisWeights& axis,
                     uint8_t* out, size_t out_stride);
  // `count` rows from `in` weighted and summed up to one row of `bytes` bytes.
  void (*vertical)(const uint8_t* in, size_t in_stride, const int32_t* weights, int count,
                   size_t bytes, uint8_t* out);
};
constexpr int kRowBlock = 4;

const ResampleKernels& portable_kernels();
const ResampleKernels& avx2_kernels();  // the portable ones where the compiler has no AVX2
// The fastest that this processor can run.
const ResampleKernels& best_kernels();

// `resize` of resample.h with the given kernels; the results do not depend on them.
RgbImage resize_with(const ResampleKernels& kernels, const RgbImage& image, int width, int height,
                     Filter filter);

}  // namespace saccade::media
