#include "engine/models/resampler.h"

#include <ATen/ATen.h>

#include "engine/layers/attention.h"

namespace saccade {
namespace {

std::optional<LayerNorm> make_head_norm(const ResamplerConfig& c, const WeightScope& scope) {
  if (!c.qk_norm) return std::nullopt;
  return LayerNorm(scope, c.head_dim, kTorchNormEps);
}

}  // namespace

ResamplerConfig ResamplerConfig::parse(const JsonView& config, int hidden_size) {
  ResamplerConfig resampler;
  resampler.hidden_size = hidden_size;
  resampler.num_latents = config.positive_int("resampler_n_latents", 64);
  resampler.num_layers = config.positive_int("resampler_depth", 6);
  resampler.num_heads = config.positive_int("resampler_n_heads", 16);
  resampler.head_dim = config.positive_int("resampler_head_dim", 96);
  resampler.qk_norm = config.boolean("qk_layer_norms_perceiver", false);
  return resampler;
}

Resampler::Layer::Layer(const ResamplerConfig& c, const WeightScope& attention,
                        const WeightScope& mlp)
    : context_norm(attention("context_layer_norm"), c.hidden_size, kTorchNormEps),
      latents_norm(attention("latents_layer_norm"), c.hidden_size, kTorchNormEps),
      query_norm(make_head_norm(c, attention("q_layer_norm"))),
      key_norm(make_head_norm(c, attention("k_layer_norm"))),
      query(attention("q_proj"), c.hidden_size, int64_t{c.num_heads} * c.head_dim, Bias::kNone),
      key_value({{attention("k_proj"), int64_t{c.num_heads} * c.head_dim},
                 {attention("v_proj"), int64_t{c.num_heads} * c.head_dim}},
                c.hidden_size, Bias::kNone),
      output(attention("output_proj"), int64_t{c.num_heads} * c.head_dim, c.hidden_size,
             Bias::kNone),
      mlp_norm(mlp("ln"), c.hidden_size, kTorchNormEps),
      up(mlp("fc"), c.hidden_size, int64_t{4} * c.hidden_size, Bias::kNone),
      down(mlp("c_proj"), int64_t{4} * c.hidden_size, c.hidden_size, Bias::kNone) {}

Resampler::Resampler(const ResamplerConfig& config, const WeightScope& scope)
    : config_(config),
      latents_(scope.tensor("latents", {config.num_latents, config.hidden_size})),
      norm_(scope("layer_norm"), config.hidden_size, kTorchNormEps) {
  for (int i = 0; i < config.num_layers; ++i) {
    const WeightScope block = scope("blocks")(i);
    layers_.emplace_back(config, block(0), block(1));
  }
}

at::Tensor Resampler::attend(const Layer& layer, const at::Tensor& context,
                             const at::Tensor& latents) const {
  const at::Tensor own = layer.latents_norm(latents);
  const at::Tensor seen = at::cat({layer.context_norm(context), own}, 1);
  const auto by_heads = [&](const at::Tensor& x) {  // [n, t, heads * d] -> [n, heads, t, d]
    return x.unflatten(-1, {int64_t{config_.num_heads}, int64_t{config_.head_dim}}).transpose(1, 2);
  };
  const std::vector<at::Tensor> key_value = layer.key_value(seen).chunk(2, -1);
  at::Tensor q = by_heads(layer.query(own)), k = by_heads(key_value[0]);
  if (config_.qk_norm) {
    q = (*layer.query_norm)(q);
    k = (*layer.key_norm)(k);
  }
  return layer.output(full_attention(q, k, by_heads(key_value[1])));
}

at::Tensor Resampler::operator()(const at::Tensor& context) const {
  at::Tensor x = latents_.unsqueeze(0).expand({context.size(0), -1, -1});
  for (const Layer& layer : layers_) {
    x = x + attend(layer, context, x);
    x = layer.down.added_to(x, layer.up.activated(layer.mlp_norm(x), config_.activation));
  }
  return norm_(x);
}

}  // namespace saccade
