#include "engine/layers/device_kernels.h"

#include <ATen/ATen.h>

#include <bit>

#include "engine/layers/kernel_type.h"

#ifdef SACCADE_CUDA
#include <c10/cuda/CUDAStream.h>

#include "engine/kernels/cuda/kernels.h"
#endif

namespace saccade::device_kernels {
namespace {

#ifdef SACCADE_CUDA
kernels::cuda::Stream stream() { return c10::cuda::getCurrentCUDAStream().stream(); }
#endif

}  // namespace

void rms_norm(const at::Tensor& on, const kernels::RmsNormArgs& args) {
#ifdef SACCADE_CUDA
  if (on.is_cuda()) return kernels::cuda::rms_norm(args, stream());
#endif
  (void)on;
  kernels::rms_norm(args);
}

void rms_norm_heads(const at::Tensor& on, const kernels::RmsNormArgs& args, int heads) {
#ifdef SACCADE_CUDA
  if (on.is_cuda()) return kernels::cuda::rms_norm_heads(args, heads, stream());
#endif
  (void)on;
  kernels::rms_norm_heads(args, heads);
}

void add_rms_norm(const at::Tensor& on, const kernels::RmsNormArgs& args, void* residual,
                  int64_t residual_stride, const void* delta, int64_t delta_stride) {
#ifdef SACCADE_CUDA
  if (on.is_cuda()) {
    return kernels::cuda::add_rms_norm(args, residual, residual_stride, delta, delta_stride,
                                       stream());
  }
#endif
  (void)on;
  kernels::add_rms_norm(args, residual, residual_stride, delta, delta_stride);
}

void rope_and_write_kv(const at::Tensor& on, const kernels::RopeArgs& args) {
#ifdef SACCADE_CUDA
  if (on.is_cuda()) return kernels::cuda::rope_and_write_kv(args, stream());
#endif
  (void)on;
  kernels::rope_and_write_kv(args);
}

void gate_mul(const at::Tensor& on, kernels::Activation activation, int64_t rows, int64_t width,
              const void* gate_up, int64_t gate_up_stride, void* out, int64_t out_stride) {
#ifdef SACCADE_CUDA
  if (on.is_cuda()) {
    return kernels::cuda::gate_mul(activation, element_type(on), rows, width, gate_up,
                                   gate_up_stride, out, out_stride, stream());
  }
#endif
  kernels::gate_mul(activation, element_type(on), rows, width, gate_up, gate_up_stride, out,
                    out_stride);
}

void paged_attention(const at::Tensor& on, const kernels::PagedAttentionArgs& args,
                     const std::vector<kernels::PagedSequence>& sequences) {
#ifdef SACCADE_CUDA
  if (on.is_cuda()) {
    kernels::cuda::AttentionExtent extent;
    for (const kernels::PagedSequence& sequence : sequences) {
      extent.include(sequence, args.heads / args.kv_heads);
    }
    const int64_t floats = kernels::cuda::attention_workspace(args, extent);
    at::Tensor workspace = at::empty({floats}, on.options().dtype(at::kFloat));
    return kernels::cuda::paged_attention(args, extent, workspace.data_ptr<float>(), stream());
  }
#endif
  (void)on;
  (void)sequences;
  kernels::paged_attention(args);
}

at::Tensor linear_few_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
#ifdef SACCADE_CUDA
  const int64_t in = weight.size(1), out = weight.size(0), rows = x.numel() / in;
  const auto at_16_bytes = [](const at::Tensor& t) {
    return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
  };
  if (x.is_cuda() && x.scalar_type() == at::kBFloat16 && kernels::cuda::are_few_rows(rows, in) &&
      in % 8 == 0 && x.is_contiguous() && weight.is_contiguous() && at_16_bytes(x) &&
      at_16_bytes(weight)) {
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = out;
    at::Tensor y = at::empty(shape, x.options());
    kernels::cuda::linear_few_rows(
        static_cast<int>(rows), in, out, x.const_data_ptr(), weight.const_data_ptr(),
        bias.defined() ? bias.const_data_ptr() : nullptr, y.data_ptr(), stream());
    return y;
  }
#endif
  (void)x;
  (void)weight;
  (void)bias;
  return {};
}

std::vector<std::pair<int32_t, float>> best_tokens(const at::Tensor& logits) {
  std::vector<std::pair<int32_t, float>> best;
#ifdef SACCADE_CUDA
  if (!logits.is_cuda() || !has_kernels(logits)) return best;
  const int64_t rows = logits.size(0);
  const at::Tensor table = logits.contiguous();
  at::Tensor found = at::empty({2, rows}, logits.options().dtype(at::kInt));
  int32_t* ids = found.data_ptr<int32_t>();
  kernels::cuda::argmax(element_type(table), rows, table.size(1), table.const_data_ptr(), ids,
                        reinterpret_cast<float*>(ids + rows), stream());
  const at::Tensor host = found.to(at::kCPU);
  const int32_t* words = host.const_data_ptr<int32_t>();
  for (int64_t i = 0; i < rows; ++i) {
    best.emplace_back(words[i], std::bit_cast<float>(words[rows + i]));
  }
#else
  (void)logits;
#endif
  return best;
}

int64_t free_gpu_memory() {
#ifdef SACCADE_CUDA
  return kernels::cuda::free_memory();
#else
  return 0;
#endif
}

}  // namespace saccade::device_kernels
