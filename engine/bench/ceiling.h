#pragma once

#include <ATen/core/Tensor.h>

namespace saccade {

// What a device can do at most, measured now with libtorch and without our kernels.
struct Ceiling {
  double read_gb_per_s = 0;  // CPU: a sum over 512 MB; GPU: a copy of 2 GB, both ways counted
  double gemm_f32_gflop_per_s = 0;  // at::mm, 1024 x 1024 x 1024 (GPU: 8192)
  double gemm_bf16_gflop_per_s = 0;
  // The faster product: where the machine has no bf16 arithmetic, float32 is what bf16 weights are
  // multiplied in.
  double gemm_gflop_per_s() const {
    return gemm_f32_gflop_per_s > gemm_bf16_gflop_per_s ? gemm_f32_gflop_per_s
                                                        : gemm_bf16_gflop_per_s;
  }
};

// Takes about two seconds; the best of several rounds each.
Ceiling measure_ceiling(at::Device device);

}  // namespace saccade
