#include "engine/models/gated_mlp.h"

#include <ATen/ATen.h>

namespace saccade {

GatedMlp::GatedMlp(const WeightScope& scope, int64_t in, int64_t inner, int64_t out,
                   Activation activation)
    : gate_up_({{scope("gate_proj"), inner}, {scope("up_proj"), inner}}, in, Bias::kNone),
      down_(scope("down_proj"), inner, out, Bias::kNone),
      activation_(activation) {}

at::Tensor GatedMlp::operator()(const at::Tensor& x) const {
  const std::vector<at::Tensor> gate_up = gate_up_(x).chunk(2, -1);
  return down_(activate(gate_up[0], activation_) * gate_up[1]);
}

}  // namespace saccade
