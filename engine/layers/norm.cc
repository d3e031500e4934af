#include "engine/layers/norm.h"

#include <ATen/ATen.h>

#include "engine/layers/kernel_type.h"
#include "engine/layers/step_profile.h"

namespace saccade {

RmsNorm::RmsNorm(const WeightScope& scope, int64_t dim, double eps)
    : weight_(scope.tensor("weight", {dim})), eps_(eps) {}

at::Tensor RmsNorm::operator()(const at::Tensor& x) const {
  const ProfileScope scope(KernelClass::kElementwise);
  if (has_kernels(x)) {
    at::Tensor out = at::empty_like(x);
    kernels::rms_norm(kernel_args(x, out));
    return out;
  }
  const at::Tensor wide = x.to(at::promote_types(x.scalar_type(), at::kFloat));
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, /*keepdim=*/true).add_(eps_));
  return (wide * scale).to(x.scalar_type()).mul_(weight_);
}

at::Tensor RmsNorm::add(at::Tensor& residual, const at::Tensor& x) const {
  const ProfileScope scope(KernelClass::kElementwise);
  if (has_kernels(x)) {
    at::Tensor out = at::empty_like(residual);
    kernels::add_rms_norm(kernel_args(residual, out), residual.data_ptr(), residual.stride(0),
                          x.const_data_ptr(), x.stride(0));
    return out;
  }
  residual = residual + x;
  return (*this)(residual);
}

kernels::RmsNormArgs RmsNorm::kernel_args(const at::Tensor& x, at::Tensor& out) const {
  return {.type = element_type(x),
          .rows = x.size(0),
          .width = x.size(1),
          .x = x.const_data_ptr(),
          .x_stride = x.stride(0),
          .weight = weight_.const_data_ptr(),
          .eps = static_cast<float>(eps_),
          .out = out.data_ptr(),
          .out_stride = out.stride(0)};
}

LayerNorm::LayerNorm(const WeightScope& scope, int64_t dim, double eps)
    : weight_(scope.tensor("weight", {dim})), bias_(scope.tensor("bias", {dim})), eps_(eps) {}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  const ProfileScope scope(KernelClass::kElementwise);
  return at::layer_norm(x, {weight_.size(0)}, weight_, bias_, eps_);
}

}  // namespace saccade
