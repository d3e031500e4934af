#include "engine/models/llama.h"

#include <ATen/ATen.h>

#include <cmath>

namespace saccade {
namespace {

// Far above any model's: the rotary frequencies are made before a tensor has confirmed the width.
constexpr int kMaxHeadDim = 4096;

Bias required_if(bool condition) { return condition ? Bias::kRequired : Bias::kNone; }

std::unique_ptr<Linear> make_head(const LlamaConfig& config, const WeightScope& head,
                                  const at::Tensor& embedding) {
  const WeightScope scope = head("lm_head").quantizable_to_int8();
  if (config.tie_word_embeddings || !scope.has("weight")) {
    return std::make_unique<Linear>(embedding, std::nullopt, scope.quantization());
  }
  return std::make_unique<Linear>(scope, config.hidden_size, config.vocab_size, Bias::kNone);
}

}  // namespace

LlamaConfig LlamaConfig::parse(const JsonView& config) {
  LlamaConfig llama;
  llama.vocab_size = config.positive_int("vocab_size", 32000);
  llama.hidden_size = config.positive_int("hidden_size", 4096);
  llama.intermediate_size = config.positive_int("intermediate_size", 11008);
  llama.num_layers = config.positive_int("num_hidden_layers", 32);
  llama.num_heads = config.positive_int("num_attention_heads", 32);
  llama.num_kv_heads = config.positive_int("num_key_value_heads", llama.num_heads);
  llama.max_positions = config.positive_int("max_position_embeddings", 2048);
  llama.rms_norm_eps = config.number_in("rms_norm_eps", 1e-6, 0, 1);
  llama.attention_bias = config.boolean("attention_bias", false);
  llama.mlp_bias = config.boolean("mlp_bias", false);
  llama.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
  if (llama.num_heads % llama.num_kv_heads != 0) {
    config.fail("num_key_value_heads", "does not divide num_attention_heads");
  }
  if (!config.has("head_dim") && llama.hidden_size % llama.num_heads != 0) {
    config.fail("num_attention_heads", "does not divide hidden_size");
  }
  llama.head_dim = config.positive_int("head_dim", llama.hidden_size / llama.num_heads);
  if (llama.head_dim % 2 != 0) config.fail("head_dim", "must be even");
  if (llama.head_dim > kMaxHeadDim) {
    config.fail(config.has("head_dim") ? "head_dim" : "hidden_size",
                "makes heads wider than " + std::to_string(kMaxHeadDim));
  }
  const std::string act = config.string("hidden_act", "silu");
  if (act != "silu" && act != "swish") {
    config.fail("hidden_act", "activation \"" + act + "\" is not supported");
  }
  llama.rope = RopeConfig::parse(config, llama.head_dim, llama.max_positions);
  return llama;
}

LlamaDecoder::Layer::Layer(const LlamaConfig& c, const WeightScope& scope)
    : input_norm(scope("input_layernorm"), c.hidden_size, c.rms_norm_eps),
      qkv({{scope("self_attn")("q_proj"), int64_t{c.num_heads} * c.head_dim},
           {scope("self_attn")("k_proj"), int64_t{c.num_kv_heads} * c.head_dim},
           {scope("self_attn")("v_proj"), int64_t{c.num_kv_heads} * c.head_dim}},
          c.hidden_size, required_if(c.attention_bias)),
      output(scope("self_attn")("o_proj"), int64_t{c.num_heads} * c.head_dim, c.hidden_size,
             required_if(c.attention_bias)),
      post_attention_norm(scope("post_attention_layernorm"), c.hidden_size, c.rms_norm_eps),
      gate_up({{scope("mlp")("gate_proj"), c.intermediate_size},
               {scope("mlp")("up_proj"), c.intermediate_size}},
              c.hidden_size, required_if(c.mlp_bias)),
      down(scope("mlp")("down_proj"), c.intermediate_size, c.hidden_size, required_if(c.mlp_bias)) {
}

LlamaDecoder::LlamaDecoder(const LlamaConfig& config, const WeightScope& backbone,
                           const WeightScope& head)
    : config_(config),
      rope_(config.rope),
      attention_{config.num_heads, config.num_kv_heads, config.head_dim,
                 1.0f / std::sqrt(static_cast<float>(config.head_dim)), 0},
      embedding_(
          backbone("embed_tokens").tensor("weight", {config.vocab_size, config.hidden_size})),
      norm_(backbone("norm"), config.hidden_size, config.rms_norm_eps),
      head_(make_head(config, head, embedding_)) {
  for (int i = 0; i < config.num_layers; ++i) {
    layers_.emplace_back(config, backbone("layers")(i).quantizable());
  }
}

at::Tensor LlamaDecoder::embed(const at::Tensor& ids) const {
  return at::embedding(embedding_, ids);
}

at::Tensor LlamaDecoder::forward(at::Tensor h, AttentionInput& input, KVCache& cache) const {
  input.rope = rope_.tables(input.positions).to(h.device());
  at::Tensor x = layers_.front().input_norm(h);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const at::Tensor mixed = paged_attention(layer.qkv(x), attention_, input, cache[i]);
    x = layer.post_attention_norm.add(h, layer.output(mixed));
    const at::Tensor gated = layer.down(silu_mul(layer.gate_up(x)));
    const RmsNorm& next = i + 1 < layers_.size() ? layers_[i + 1].input_norm : norm_;
    x = next.add(h, gated);
  }
  return x;
}

at::Tensor LlamaDecoder::logits(const at::Tensor& h) const { return (*head_)(h); }

}  // namespace saccade
