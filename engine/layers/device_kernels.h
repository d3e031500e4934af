#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "engine/kernels/activation.h"
#include "engine/kernels/norm.h"
#include "engine/kernels/paged_attention.h"
#include "engine/kernels/rope.h"

// The kernels of engine/kernels on the device of a tensor `on`, for which has_kernels() holds: on
// a CPU done when they return, on a GPU put on the current stream.
namespace saccade::device_kernels {

void rms_norm(const at::Tensor& on, const kernels::RmsNormArgs& args);
void rms_norm_heads(const at::Tensor& on, const kernels::RmsNormArgs& args, int heads);
void add_rms_norm(const at::Tensor& on, const kernels::RmsNormArgs& args, void* residual,
                  int64_t residual_stride, const void* delta, int64_t delta_stride);
void rope_and_write_kv(const at::Tensor& on, const kernels::RopeArgs& args);
void gate_mul(const at::Tensor& on, kernels::Activation activation, int64_t rows, int64_t width,
              const void* gate_up, int64_t gate_up_stride, void* out, int64_t out_stride);

// args.sequences as the device reads them, `sequences` the same as the host does.
void paged_attention(const at::Tensor& on, const kernels::PagedAttentionArgs& args,
                     const std::vector<kernels::PagedSequence>& sequences);

// x W^T + b where a kernel beats the library: few rows on a GPU. Undefined elsewhere.
at::Tensor linear_few_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// The best token of each row of logits [n, vocab] on a GPU, the first of equals, and its logit; on
// the host, waited for. Empty where no kernel finds it.
std::vector<std::pair<int32_t, float>> best_tokens(const at::Tensor& logits);

// Bytes that are free on the current GPU; of a libtorch without our kernels not known: 0.
int64_t free_gpu_memory();

}  // namespace saccade::device_kernels
