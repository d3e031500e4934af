#include "engine/layers/norm.h"

#include <ATen/ATen.h>

#include "engine/layers/device_kernels.h"
#include "engine/layers/kernel_type.h"
#include "engine/layers/step_profile.h"

namespace saccade {
namespace {

at::ScalarType wide_type(const at::Tensor& x) {
  return at::promote_types(x.scalar_type(), at::kFloat);
}

at::Tensor scale_factor(const at::Tensor& weight, RmsScale scale) {
  return scale == RmsScale::kWeight ? weight : weight.to(wide_type(weight)) + 1;
}

std::variant<RmsNorm, LayerNorm> make_norm(NormKind kind, const WeightScope& scope, int64_t dim,
                                           double eps, bool with_bias) {
  if (kind == NormKind::kLayer) return LayerNorm(scope, dim, eps, with_bias);
  return RmsNorm(scope, dim, eps, scale_of(kind));
}

}  // namespace

RmsNorm::RmsNorm(const WeightScope& scope, int64_t dim, double eps, RmsScale scale)
    : weight_(scale_factor(scope.tensor("weight", {dim}), scale)), eps_(eps), scale_(scale) {}

at::Tensor RmsNorm::operator()(const at::Tensor& x) const {
  const ProfileScope scope(KernelClass::kElementwise);
  if (has_kernels(x)) {
    at::Tensor out = at::empty_like(x);
    device_kernels::rms_norm(x, kernel_args(x, out));
    return out;
  }
  const at::Tensor wide = x.to(wide_type(x));
  const at::Tensor quotient = wide * at::rsqrt(wide.square().mean(-1, /*keepdim=*/true).add_(eps_));
  if (scale_ == RmsScale::kOnePlusWeight) return (quotient * weight_).to(x.scalar_type());
  return quotient.to(x.scalar_type()).mul_(weight_);
}

at::Tensor RmsNorm::add(at::Tensor& residual, const at::Tensor& x) const {
  const ProfileScope scope(KernelClass::kElementwise);
  if (has_kernels(x)) {
    at::Tensor out = at::empty_like(residual);
    device_kernels::add_rms_norm(x, kernel_args(residual, out), residual.data_ptr(),
                                 residual.stride(0), x.const_data_ptr(), x.stride(0));
    return out;
  }
  residual = residual + x;
  return (*this)(residual);
}

void RmsNorm::normalize_heads(at::Tensor& x, int first, int count) const {
  const int64_t dim = weight_.size(0);
  at::Tensor heads = x.narrow(1, first * dim, count * dim);
  if (has_kernels(x)) {
    kernels::RmsNormArgs args = kernel_args(heads, heads);
    args.width = dim;
    return device_kernels::rms_norm_heads(x, args, count);
  }
  at::Tensor rows = heads.unflatten(1, {count, dim});
  rows.copy_((*this)(rows));
}

kernels::RmsNormArgs RmsNorm::kernel_args(const at::Tensor& x, at::Tensor& out) const {
  return {.type = element_type(x),
          .rows = x.size(0),
          .width = x.size(1),
          .x = x.const_data_ptr(),
          .x_stride = x.stride(0),
          .weight = weight_.const_data_ptr(),
          .wide_weight = scale_ == RmsScale::kOnePlusWeight,
          .eps = static_cast<float>(eps_),
          .out = out.data_ptr(),
          .out_stride = out.stride(0)};
}

LayerNorm::LayerNorm(const WeightScope& scope, int64_t dim, double eps, bool with_bias)
    : weight_(scope.tensor("weight", {dim})),
      bias_(with_bias ? scope.tensor("bias", {dim}) : at::Tensor()),
      eps_(eps) {}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  const ProfileScope scope(KernelClass::kElementwise);
  return at::layer_norm(x, {weight_.size(0)}, weight_, bias_, eps_);
}

at::Tensor LayerNorm::add(at::Tensor& residual, const at::Tensor& x) const {
  residual = residual + x;
  return (*this)(residual);
}

Norm::Norm(NormKind kind, const WeightScope& scope, int64_t dim, double eps, bool with_bias)
    : norm_(make_norm(kind, scope, dim, eps, with_bias)) {}

}  // namespace saccade
