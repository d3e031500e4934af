#include "engine/models/gated_cross_attention.h"

#include <ATen/ATen.h>

#include "engine/layers/attention.h"

namespace saccade {
namespace {

std::optional<RmsNorm> make_head_norm(const GatedCrossConfig& c, const WeightScope& scope) {
  if (!c.qk_norm) return std::nullopt;
  return RmsNorm(scope, c.head_dim, c.norm_eps);
}

Linear make_up(const GatedCrossConfig& c, const WeightScope& mlp) {
  if (!c.gated_mlp) return Linear(mlp("up_proj"), c.hidden_size, c.intermediate_size, Bias::kNone);
  return Linear({{mlp("gate_proj"), c.intermediate_size}, {mlp("up_proj"), c.intermediate_size}},
                c.hidden_size, Bias::kNone);
}

at::Tensor read_gate(const GatedCrossConfig& c, const WeightScope& scope, const char* name) {
  if (!c.vector_gates) return at::tanh(scope.tensor(name, {1}));
  return at::tanh(scope.tensor(name, {1, 1, c.hidden_size})).flatten();
}

}  // namespace

GatedCrossAttention::GatedCrossAttention(const GatedCrossConfig& c, const WeightScope& scope,
                                         int index)
    : config_(c),
      column_(2 * c.inner() * index),
      attention_norm_(c.norm, scope("input_layernorm"), c.hidden_size, c.norm_eps),
      query_(scope("cross_attn")("q_proj"), c.hidden_size, c.inner(), Bias::kNone),
      key_value_(
          {{scope("cross_attn")("k_proj"), c.inner()}, {scope("cross_attn")("v_proj"), c.inner()}},
          c.memory_size, Bias::kNone),
      query_norm_(make_head_norm(c, scope("cross_attn")("q_layer_norm"))),
      key_norm_(make_head_norm(c, scope("cross_attn")("k_layer_norm"))),
      output_(scope("cross_attn")("o_proj"), c.inner(), c.hidden_size, Bias::kNone),
      attention_gate_(read_gate(c, scope, "alpha_cross_attn")),
      mlp_norm_(c.norm, scope("post_attention_layernorm"), c.hidden_size, c.norm_eps),
      up_(make_up(c, scope("mlp"))),
      down_(scope("mlp")("down_proj"), c.intermediate_size, c.hidden_size, Bias::kNone),
      mlp_gate_(read_gate(c, scope, "alpha_dense")) {}

at::Tensor GatedCrossAttention::memory(const at::Tensor& pictures) const {
  at::Tensor rows = key_value_(pictures.flatten(0, 1));  // [n * rows, 2 * inner]
  if (key_norm_) key_norm_->normalize_heads(rows, 0, config_.num_heads);
  return rows.view({pictures.size(0), pictures.size(1), rows.size(1)});
}

at::Tensor GatedCrossAttention::operator()(const at::Tensor& h, const AttentionInput& input) const {
  at::Tensor x = h;
  if (!input.memories.empty()) {
    x = h + attention_gate_ * attend(attention_norm_(h), input.memories);
  }
  return x + mlp_gate_ * mlp(mlp_norm_(x));
}

at::Tensor GatedCrossAttention::mlp(const at::Tensor& x) const {
  return down_(config_.gated_mlp ? activate_gated(up_(x), config_.activation)
                                 : up_.activated(x, config_.activation));
}

// [T, H] -> [T, H]; zero where a token is in no run, as the output projection has no bias.
at::Tensor GatedCrossAttention::attend(const at::Tensor& x, const MemoryRuns& runs) const {
  const int64_t heads = config_.num_heads, inner = config_.inner();
  at::Tensor queries = query_(x);
  if (query_norm_) query_norm_->normalize_heads(queries, 0, config_.num_heads);
  const auto by_heads = [heads](const at::Tensor& rows) {  // [t, inner] -> [1, heads, t, d]
    return rows.unflatten(1, {heads, rows.size(1) / heads}).transpose(0, 1).unsqueeze(0);
  };
  at::Tensor mixed = at::zeros_like(queries);
  for (const MemoryRun& run : runs) {
    const at::Tensor seen = full_attention(by_heads(queries.narrow(0, run.first, run.count)),
                                           by_heads(run.memory.narrow(1, column_, inner)),
                                           by_heads(run.memory.narrow(1, column_ + inner, inner)));
    mixed.narrow(0, run.first, run.count).copy_(seen[0]);
  }
  return output_(mixed);
}

std::vector<at::Tensor> picture_memories(
    const std::vector<std::shared_ptr<const GatedCrossAttention>>& blocks,
    const at::Tensor& pictures) {
  std::vector<at::Tensor> memories;
  for (const auto& block : blocks) memories.push_back(block->memory(pictures));
  return at::cat(memories, -1).unbind(0);
}

}  // namespace saccade
