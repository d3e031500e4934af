#include "engine/layers/norm.h"

#include <ATen/ATen.h>

namespace saccade {

RmsNorm::RmsNorm(const WeightScope& scope, int64_t dim, double eps)
    : weight_(scope.tensor("weight", {dim})), eps_(eps) {}

at::Tensor RmsNorm::operator()(const at::Tensor& x) const {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, /*keepdim=*/true).add_(eps_));
  return (wide * scale).to(x.scalar_type()).mul_(weight_);
}

at::Tensor RmsNorm::add(at::Tensor& residual, const at::Tensor& x) const {
  residual = residual + x;
  return (*this)(residual);
}

LayerNorm::LayerNorm(const WeightScope& scope, int64_t dim, double eps)
    : weight_(scope.tensor("weight", {dim})), bias_(scope.tensor("bias", {dim})), eps_(eps) {}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(x, {weight_.size(0)}, weight_, bias_, eps_);
}

}  // namespace saccade
