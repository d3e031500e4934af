#include "engine/models/gated_cross_attention.h"

#include <ATen/ATen.h>

#include "engine/layers/attention.h"

namespace saccade {
namespace {

std::optional<RmsNorm> make_head_norm(const GatedCrossConfig& c, const WeightScope& scope) {
  if (!c.qk_norm) return std::nullopt;
  return RmsNorm(scope, c.hidden_size / c.num_heads, c.norm_eps);
}

at::Tensor read_gate(const GatedCrossConfig& c, const WeightScope& scope, const char* name) {
  if (!c.vector_gates) return at::tanh(scope.tensor(name, {1}));
  return at::tanh(scope.tensor(name, {1, 1, c.hidden_size})).flatten();
}

}  // namespace

GatedCrossAttention::GatedCrossAttention(const GatedCrossConfig& c, const WeightScope& scope,
                                         int index)
    : config_(c),
      column_(int64_t{2} * c.hidden_size * index),
      attention_norm_(scope("input_layernorm"), c.hidden_size, c.norm_eps),
      query_(scope("cross_attn")("q_proj"), c.hidden_size, c.hidden_size, Bias::kNone),
      key_value_({{scope("cross_attn")("k_proj"), c.hidden_size},
                  {scope("cross_attn")("v_proj"), c.hidden_size}},
                 c.memory_size, Bias::kNone),
      query_norm_(make_head_norm(c, scope("cross_attn")("q_layer_norm"))),
      key_norm_(make_head_norm(c, scope("cross_attn")("k_layer_norm"))),
      output_(scope("cross_attn")("o_proj"), c.hidden_size, c.hidden_size, Bias::kNone),
      attention_gate_(read_gate(c, scope, "alpha_cross_attn")),
      mlp_norm_(scope("post_attention_layernorm"), c.hidden_size, c.norm_eps),
      mlp_(scope("mlp"), c.hidden_size, c.intermediate_size, c.hidden_size, c.activation),
      mlp_gate_(read_gate(c, scope, "alpha_dense")) {}

at::Tensor GatedCrossAttention::memory(const at::Tensor& pictures) const {
  at::Tensor rows = key_value_(pictures.flatten(0, 1));  // [n * rows, 2 * hidden]
  if (key_norm_) key_norm_->normalize_heads(rows, 0, config_.num_heads);
  return rows.view({pictures.size(0), pictures.size(1), rows.size(1)});
}

at::Tensor GatedCrossAttention::operator()(const at::Tensor& h, const AttentionInput& input) const {
  at::Tensor x = h;
  if (!input.memories.empty()) {
    x = h + attention_gate_ * attend(attention_norm_(h), input.memories);
  }
  return x + mlp_gate_ * mlp_(mlp_norm_(x));
}

// [T, H] -> [T, H]; zero where a token is in no run, as the output projection has no bias.
at::Tensor GatedCrossAttention::attend(const at::Tensor& x, const MemoryRuns& runs) const {
  const int64_t heads = config_.num_heads, hidden = config_.hidden_size;
  at::Tensor queries = query_(x);
  if (query_norm_) query_norm_->normalize_heads(queries, 0, config_.num_heads);
  const auto by_heads = [heads](const at::Tensor& rows) {  // [t, hidden] -> [1, heads, t, d]
    return rows.unflatten(1, {heads, rows.size(1) / heads}).transpose(0, 1).unsqueeze(0);
  };
  at::Tensor mixed = at::zeros_like(queries);
  for (const MemoryRun& run : runs) {
    const at::Tensor seen =
        full_attention(by_heads(queries.narrow(0, run.first, run.count)),
                       by_heads(run.memory.narrow(1, column_, hidden)),
                       by_heads(run.memory.narrow(1, column_ + hidden, hidden)));
    mixed.narrow(0, run.first, run.count).copy_(seen[0]);
  }
  return output_(mixed);
}

}  // namespace saccade
