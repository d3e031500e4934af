#pragma once

#include <ATen/core/Tensor.h>

#include <variant>

#include "engine/kernels/norm.h"
#include "engine/weights/weight_map.h"

namespace saccade {

enum class NormKind { kRms, kGemmaRms, kLayer };

// What a normalised row is multiplied with, and where it is rounded to the run's dtype.
enum class RmsScale {
  kWeight,         // round(x / rms(x)) * weight, in the order of Hugging Face's LlamaRMSNorm
  kOnePlusWeight,  // round(x / rms(x) * (1 + weight)), the factor in float32: GemmaRMSNorm
};
inline RmsScale scale_of(NormKind kind) {
  return kind == NormKind::kGemmaRms ? RmsScale::kOnePlusWeight : RmsScale::kWeight;
}

// torch.nn.LayerNorm's own, for models whose configuration names none.
inline constexpr double kTorchNormEps = 1e-5;

// Root-mean-square norm over the last axis; float32 inside (float64 in a float64 run).
class RmsNorm {
 public:
  RmsNorm(const WeightScope& scope, int64_t dim, double eps, RmsScale scale = RmsScale::kWeight);

  // [n, dim] -> [n, dim]
  at::Tensor operator()(const at::Tensor& x) const;

  // residual += x in place, then the norm of the sum.
  at::Tensor add(at::Tensor& residual, const at::Tensor& x) const;

  // Each of `count` heads from head `first` on of x [n, heads * dim], in place.
  void normalize_heads(at::Tensor& x, int first, int count) const;

 private:
  kernels::RmsNormArgs kernel_args(const at::Tensor& x, at::Tensor& out) const;

  at::Tensor weight_;  // kOnePlusWeight: 1 + weight, at least float32
  double eps_;
  RmsScale scale_;
};

// (x - mean) / std * weight + bias over the last axis.
class LayerNorm {
 public:
  LayerNorm(const WeightScope& scope, int64_t dim, double eps, bool with_bias = true);

  at::Tensor operator()(const at::Tensor& x) const;

  // residual += x in place, then the norm of the sum.
  at::Tensor add(at::Tensor& residual, const at::Tensor& x) const;

 private:
  at::Tensor weight_;
  at::Tensor bias_;  // undefined: none
  double eps_;
};

// A norm whose kind is data.
class Norm {
 public:
  // `with_bias`: of a LayerNorm.
  Norm(NormKind kind, const WeightScope& scope, int64_t dim, double eps, bool with_bias = true);

  at::Tensor operator()(const at::Tensor& x) const {
    return std::visit([&](const auto& norm) { return norm(x); }, norm_);
  }
  at::Tensor add(at::Tensor& residual, const at::Tensor& x) const {
    return std::visit([&](const auto& norm) { return norm.add(residual, x); }, norm_);
  }

 private:
  std::variant<RmsNorm, LayerNorm> norm_;
};

}  // namespace saccade
