#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "engine/layers/linear.h"

namespace saccade {

// Learned prompts beside the keys of one layer's attention (LLaMA-Adapter: Zhang et al. 2023;
// peft's AdaptedAttention). Rows of an adapter also look at that adapter's keys and values, which
// know no positions, with a softmax of their own; a gate says how much of it is added.
class AttentionPrompts {
 public:
  bool empty() const { return prompts_.empty(); }

  // keys and values [kv_heads, length, head_dim] of `heads` query heads, gate [1]. At load only.
  void add(int adapter, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& gate,
           int heads);

  // mixed [T, heads * d] += gate * softmax(q k^T / sqrt(d)) v for the rows of these adapters, in
  // place. queries [T, heads, d], rotated.
  void add_to(at::Tensor& mixed, const at::Tensor& queries, const AdapterRuns& runs) const;

 private:
  struct Prompt {
    int adapter;
    at::Tensor keys;    // [1, heads, length, d]
    at::Tensor values;  // [1, heads, length, d]
    at::Tensor gate;    // [1]
  };
  std::vector<Prompt> prompts_;
};

}  // namespace saccade
