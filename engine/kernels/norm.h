#pragma once

#include <cstdint>

#include "engine/kernels/element.h"

namespace saccade::kernels {

// out = round(weight * round(x / sqrt(mean(x^2) + eps))): float32 inside, rounded to the element
// type where LlamaRMSNorm rounds; with a wide weight once, at the end, as GemmaRMSNorm does. Rows
// are contiguous in x and out; x may be out.
struct RmsNormArgs {
  ElementType type;  // of x, out and, unless it is wide, weight
  int64_t rows;
  int64_t width;
  const void* x;  // [rows, width], rows x_stride elements apart
  int64_t x_stride;
  const void* weight;        // [width]
  bool wide_weight = false;  // the weight is float32, whatever `type` is
  float eps;
  void* out;  // [rows, width], rows out_stride elements apart
  int64_t out_stride;
};
void rms_norm(const RmsNormArgs& args);

// The same for each of the `heads` pieces of a row, `width` elements each: x and out [rows, heads,
// width].
void rms_norm_heads(const RmsNormArgs& args, int heads);

// residual += delta (rounded to the element type), then `out` is the norm of the new residual. Both
// in one pass. args.x is not used: the residual takes its place.
void add_rms_norm(const RmsNormArgs& args, void* residual, int64_t residual_stride,
                  const void* delta, int64_t delta_stride);

}  // namespace saccade::kernels
