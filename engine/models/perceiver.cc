#include "engine/models/perceiver.h"

#include <ATen/ATen.h>

#include "engine/layers/attention.h"

namespace saccade {
namespace {

// [n, t, d] -> [n, t, d]; the norm takes rows.
at::Tensor normalized_rows(const RmsNorm& norm, const at::Tensor& x) {
  return norm(x.reshape({-1, x.size(-1)})).view(x.sizes());
}

}  // namespace

PerceiverConfig PerceiverConfig::parse(const JsonView& config, int text_hidden, double text_eps) {
  PerceiverConfig perceiver;
  perceiver.num_latents = config.positive_int("resampler_n_latents", 64);
  perceiver.num_layers = config.positive_int("resampler_depth", 3);
  perceiver.num_heads = config.positive_int("resampler_n_heads", 16);
  perceiver.num_kv_heads = config.positive_int("num_key_value_heads", 4);
  perceiver.head_dim = config.positive_int("resampler_head_dim", 96);
  perceiver.rms_norm_eps = config.number_in("rms_norm_eps", 1e-6, 0, 1);
  perceiver.activation =
      parse_activation(config.string("hidden_act", "silu"), config.path() + ".hidden_act");
  perceiver.hidden_size = text_hidden;
  if (config.positive_int("hidden_size", 4096) != text_hidden) perceiver.rms_norm_eps = text_eps;
  if (perceiver.num_heads % perceiver.num_kv_heads != 0) {
    config.fail("num_key_value_heads", "does not divide resampler_n_heads");
  }
  return perceiver;
}

Perceiver::Layer::Layer(const PerceiverConfig& c, const WeightScope& scope)
    : latents_norm(scope("input_latents_norm"), c.hidden_size, c.rms_norm_eps),
      context_norm(scope("input_context_norm"), c.hidden_size, c.rms_norm_eps),
      query(scope("self_attn")("q_proj"), c.hidden_size, int64_t{c.num_heads} * c.head_dim,
            Bias::kNone),
      key_value({{scope("self_attn")("k_proj"), int64_t{c.num_kv_heads} * c.head_dim},
                 {scope("self_attn")("v_proj"), int64_t{c.num_kv_heads} * c.head_dim}},
                c.hidden_size, Bias::kNone),
      output(scope("self_attn")("o_proj"), int64_t{c.num_heads} * c.head_dim, c.hidden_size,
             Bias::kNone),
      mlp_norm(scope("post_attention_layernorm"), c.hidden_size, c.rms_norm_eps),
      mlp(scope("mlp"), c.hidden_size, int64_t{4} * c.hidden_size, c.hidden_size, c.activation) {}

Perceiver::Perceiver(const PerceiverConfig& config, const WeightScope& scope)
    : config_(config),
      latents_(scope.tensor("latents", {config.num_latents, config.hidden_size})),
      norm_(scope("norm"), config.hidden_size, config.rms_norm_eps) {
  for (int i = 0; i < config.num_layers; ++i) layers_.emplace_back(config, scope("layers")(i));
}

at::Tensor Perceiver::latents(int64_t count) const {
  return latents_.unsqueeze(0).expand({count, -1, -1});
}

at::Tensor Perceiver::layer(int i, const at::Tensor& latents, const at::Tensor& context) const {
  const Layer& layer = layers_[i];
  const at::Tensor x = normalized_rows(layer.latents_norm, latents);
  const at::Tensor seen = at::cat({normalized_rows(layer.context_norm, context), x}, 1);
  const std::vector<at::Tensor> kv = layer.key_value(seen).chunk(2, -1);
  const int64_t group = config_.num_heads / config_.num_kv_heads;
  const auto repeated = [&](const at::Tensor& rows) {
    return split_heads(rows, config_.num_kv_heads).repeat_interleave(group, 1);
  };
  const at::Tensor mixed = full_attention(split_heads(layer.query(x), config_.num_heads),
                                          repeated(kv[0]), repeated(kv[1]));
  const at::Tensor h = latents + layer.output(mixed);
  return h + layer.mlp(normalized_rows(layer.mlp_norm, h));
}

at::Tensor Perceiver::operator()(const at::Tensor& context) const {
  at::Tensor x = latents(context.size(0));
  for (size_t i = 0; i < layers_.size(); ++i) x = layer(static_cast<int>(i), x, context);
  return normalized_rows(norm_, x);
}

}  // namespace saccade
