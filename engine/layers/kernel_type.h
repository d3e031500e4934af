#pragma once

#include <ATen/core/Tensor.h>

#include "engine/kernels/element.h"

namespace saccade {

#ifdef SACCADE_CUDA
inline constexpr bool kCudaKernels = true;
#else
inline constexpr bool kCudaKernels = false;
#endif

// True where our own kernels run: float32 and bfloat16, on a CPU or, where they are built, on a
// GPU. Elsewhere (float16, float64 checks) layers use ATen's operators.
inline bool has_kernels(const at::Tensor& x) {
  const bool type = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
  return type && (x.is_cpu() || (kCudaKernels && x.is_cuda()));
}

inline kernels::ElementType element_type(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat ? kernels::ElementType::kFloat32
                                       : kernels::ElementType::kBFloat16;
}

}  // namespace saccade
