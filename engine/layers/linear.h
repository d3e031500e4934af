#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "engine/kernels/packed_linear.h"
#include "engine/weights/weight_map.h"

namespace saccade {

enum class Bias { kNone, kRequired, kIfPresent };

// y = x W^T + b. Owns its weight in the layout the device's kernel reads: packed panels on a CPU
// (of integers where the scope is quantizable and the run asks for it), plain on a GPU. No caller
// knows which.
class Linear {
 public:
  // Reads `weight` [out, in] and `bias` [out] of `scope`.
  Linear(const WeightScope& scope, int64_t in, int64_t out, Bias bias);

  // Several projections of the same input as one: rows [sum of outs].
  struct Part {
    WeightScope scope;
    int64_t out;
  };
  Linear(const std::vector<Part>& parts, int64_t in, Bias bias);

  // From tensors at hand: weight [out, in], bias [out] or none.
  Linear(const at::Tensor& weight, const std::optional<at::Tensor>& bias,
         Quantization quantization = Quantization::kNone);

  // x [..., in] -> [..., out]
  at::Tensor operator()(const at::Tensor& x) const;

  int64_t in_features() const { return in_; }
  int64_t out_features() const { return out_; }

 private:
  void pack(const at::Tensor& weight, Quantization quantization);
  at::Tensor run_packed(const at::Tensor& x) const;

  std::optional<kernels::PackedLinear> packed_;
  std::optional<at::Tensor> bias_;  // float32 beside packed_, else of the run's dtype
  at::Tensor weight_;               // where packed_ is empty
  int64_t in_ = 0;
  int64_t out_ = 0;
};

}  // namespace saccade
