#pragma once

#include <ATen/core/Tensor.h>

#include "engine/kernels/norm.h"
#include "engine/weights/weight_map.h"

namespace saccade {

// x / rms(x) * weight. The quotient is computed in float32 and rounded to x's dtype before the
// product, in the order of Hugging Face's LlamaRMSNorm (it matters in bfloat16).
class RmsNorm {
 public:
  RmsNorm(const WeightScope& scope, int64_t dim, double eps);

  // [n, dim] -> [n, dim]
  at::Tensor operator()(const at::Tensor& x) const;

  // residual += x in place, then the norm of the sum.
  at::Tensor add(at::Tensor& residual, const at::Tensor& x) const;

 private:
  kernels::RmsNormArgs kernel_args(const at::Tensor& x, at::Tensor& out) const;

  at::Tensor weight_;
  double eps_;
};

// (x - mean) / std * weight + bias over the last axis.
class LayerNorm {
 public:
  LayerNorm(const WeightScope& scope, int64_t dim, double eps);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor weight_;
  at::Tensor bias_;
  double eps_;
};

}  // namespace saccade
