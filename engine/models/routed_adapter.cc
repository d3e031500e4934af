#include "engine/models/routed_adapter.h"

#include <ATen/ATen.h>

namespace saccade {
namespace {

// Weight and bias side by side: [width, rank + 1].
at::Tensor with_bias(const WeightScope& scope, int64_t width, int64_t rank) {
  return at::cat(
      {scope.tensor("weight", {width, rank}), scope.tensor("bias", {width}).unsqueeze(1)}, 1);
}

}  // namespace

RoutedAdapter::RoutedAdapter(const WeightScope& scope, int64_t width, int64_t rank)
    : down_(scope("conv_A"), width, rank, Bias::kRequired),
      up_(at::cat(
              {with_bias(scope("conv_B"), width, rank), with_bias(scope("conv_D"), width, rank)},
              1),
          std::nullopt) {}

at::Tensor RoutedAdapter::operator()(const at::Tensor& x, const at::Tensor& weights) const {
  const at::Tensor narrow = at::constant_pad_nd(down_(x), {0, 1}, 1);  // a | 1
  const at::Tensor routed = (weights.unsqueeze(-1) * narrow.unsqueeze(-2)).flatten(-2);
  return up_.added_to(x, routed);
}

}  // namespace saccade
