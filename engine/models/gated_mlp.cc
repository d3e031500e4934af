#include "engine/models/gated_mlp.h"

#include <ATen/ATen.h>

namespace saccade {

GatedMlp::GatedMlp(const WeightScope& scope, int64_t in, int64_t inner, int64_t out,
                   Activation activation)
    : gate_up_({{scope("gate_proj"), inner}, {scope("up_proj"), inner}}, in, Bias::kNone),
      down_(scope("down_proj"), inner, out, Bias::kNone),
      activation_(activation) {}

at::Tensor GatedMlp::operator()(const at::Tensor& x) const {
  return down_(activate_gated(gate_up_(x), activation_));
}

}  // namespace saccade
