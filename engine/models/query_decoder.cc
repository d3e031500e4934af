#include "engine/models/query_decoder.h"

#include <ATen/ATen.h>

#include "engine/layers/attention.h"

namespace saccade {

QueryDecoderConfig QueryDecoderConfig::parse(const JsonView& config, int hidden_size) {
  QueryDecoderConfig decoder;
  decoder.hidden_size = hidden_size;
  decoder.intermediate_size = config.positive_int("intermediate_size", 1024);
  decoder.num_layers = config.positive_int("num_hidden_layers", 12);
  decoder.num_heads = config.positive_int("num_attention_heads", 8);
  decoder.num_queries = config.positive_int("num_queries", 32);
  if (hidden_size % decoder.num_heads != 0) {
    config.fail("num_attention_heads", "does not divide the tower's width");
  }
  return decoder;
}

QueryDecoder::Layer::Layer(const QueryDecoderConfig& c, const WeightScope& scope)
    : self_norm(scope("norm1"), c.hidden_size, kTorchNormEps),
      qkv(scope("self_attn")("qkv"), c.hidden_size, int64_t{3} * c.hidden_size, Bias::kRequired),
      self_output(scope("self_attn")("out_proj"), c.hidden_size, c.hidden_size, Bias::kRequired),
      cross_norm(scope("norm2"), c.hidden_size, kTorchNormEps),
      query(scope("cross_attn")("q_proj"), c.hidden_size, c.hidden_size, Bias::kRequired),
      key_value(scope("cross_attn")("kv_proj"), c.hidden_size, int64_t{2} * c.hidden_size,
                Bias::kRequired),
      cross_output(scope("cross_attn")("out_proj"), c.hidden_size, c.hidden_size, Bias::kRequired),
      mlp_norm(scope("norm3"), c.hidden_size, kTorchNormEps),
      up(scope("linear1"), c.hidden_size, c.intermediate_size, Bias::kRequired),
      down(scope("linear2"), c.intermediate_size, c.hidden_size, Bias::kRequired) {}

QueryDecoder::QueryDecoder(const QueryDecoderConfig& config, const WeightScope& scope)
    : config_(config),
      queries_(scope.tensor("queries", {config.num_queries, config.hidden_size})),
      norm_(scope("norm"), config.hidden_size, kTorchNormEps) {
  for (int i = 0; i < config.num_layers; ++i) layers_.emplace_back(config, scope("layers")(i));
}

// [n, tq, hidden], [n, tk, hidden] twice -> [n, tq, hidden]
at::Tensor QueryDecoder::attend(const at::Tensor& q, const at::Tensor& k,
                                const at::Tensor& v) const {
  const auto by_heads = [&](const at::Tensor& x) {
    return x.unflatten(-1, {int64_t{config_.num_heads}, -1}).transpose(1, 2);
  };
  return full_attention(by_heads(q), by_heads(k), by_heads(v));
}

at::Tensor QueryDecoder::operator()(const at::Tensor& picture) const {
  at::Tensor x = queries_.unsqueeze(0).expand({picture.size(0), -1, -1});
  for (const Layer& layer : layers_) {
    const std::vector<at::Tensor> own = layer.qkv(layer.self_norm(x)).chunk(3, -1);
    x = x + layer.self_output(attend(own[0], own[1], own[2]));
    const std::vector<at::Tensor> seen = layer.key_value(picture).chunk(2, -1);
    x = x + layer.cross_output(attend(layer.query(layer.cross_norm(x)), seen[0], seen[1]));
    x = x + layer.down(at::relu(layer.up(layer.mlp_norm(x))));
  }
  return norm_(x);
}

}  // namespace saccade
