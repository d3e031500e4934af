#pragma once

#include <ATen/core/Tensor.h>

#include "engine/kernels/element.h"

namespace saccade {

// True where our own kernels run: float32 and bfloat16 on a CPU. Elsewhere (a GPU, float64 checks)
// layers use ATen's operators.
inline bool has_kernels(const at::Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

inline kernels::ElementType element_type(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat ? kernels::ElementType::kFloat32
                                       : kernels::ElementType::kBFloat16;
}

}  // namespace saccade
