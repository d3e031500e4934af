#pragma once

#include <ATen/core/Tensor.h>

#include "engine/layers/linear.h"

namespace saccade {

// A RepAdapter of two experts (Luo et al. 2023, "Cheap and Quick": LaVIN's mm_adapter.py): both
// widen what one narrow layer makes of a row, and a router says how much of each is added.
class RoutedAdapter {
 public:
  // Reads conv_A [rank, width], conv_B and conv_D [width, rank], with biases.
  RoutedAdapter(const WeightScope& scope, int64_t width, int64_t rank);

  // x [..., width], weights [..., 2] of the experts -> x + w0 (B a + b) + w1 (D a + d) with a the
  // narrow layer's output for x.
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& weights) const;

 private:
  Linear down_;  // [rank, width]
  Linear up_;    // [width, 2 * (rank + 1)], columns B | b | D | d
};

}  // namespace saccade
