#pragma once

#include <ATen/core/Tensor.h>

#include "engine/layers/activation.h"
#include "engine/layers/linear.h"

namespace saccade {

// down(act(gate x) * up x), without biases.
class GatedMlp {
 public:
  GatedMlp(const WeightScope& scope, int64_t in, int64_t inner, int64_t out, Activation activation);
  at::Tensor operator()(const at::Tensor& x) const;  // [..., in] -> [..., out]

 private:
  Linear gate_up_;  // rows gate | up
  Linear down_;
  Activation activation_;
};

}  // namespace saccade
