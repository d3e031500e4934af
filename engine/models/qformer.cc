#include "engine/models/qformer.h"

#include <ATen/ATen.h>

#include "engine/layers/attention.h"

namespace saccade {

QFormerConfig QFormerConfig::parse(const JsonView& config, int num_queries) {
  QFormerConfig q;
  q.vocab_size = config.positive_int("vocab_size", 30522);
  q.hidden_size = config.positive_int("hidden_size", 768);
  q.intermediate_size = config.positive_int("intermediate_size", 3072);
  q.num_layers = config.positive_int("num_hidden_layers", 12);
  q.num_heads = config.positive_int("num_attention_heads", 12);
  q.max_positions = config.positive_int("max_position_embeddings", 512);
  q.cross_attention_frequency = config.positive_int("cross_attention_frequency", 2);
  q.encoder_hidden_size = config.positive_int("encoder_hidden_size", 1408);
  q.num_queries = num_queries;
  q.layer_norm_eps = config.number_in("layer_norm_eps", 1e-12, 0, 1);
  q.activation =
      parse_activation(config.string("hidden_act", "gelu"), config.path() + ".hidden_act");
  if (q.hidden_size % q.num_heads != 0) {
    config.fail("num_attention_heads", "does not divide hidden_size");
  }
  const std::string positions = config.string("position_embedding_type", "absolute");
  if (positions != "absolute") {
    config.fail("position_embedding_type", "\"" + positions + "\" is not supported");
  }
  return q;
}

QFormer::Attention::Attention(const QFormerConfig& c, const WeightScope& scope, int key_width)
    : query(scope("attention")("query"), c.hidden_size, c.hidden_size, Bias::kRequired),
      key_value({{scope("attention")("key"), c.hidden_size},
                 {scope("attention")("value"), c.hidden_size}},
                key_width, Bias::kRequired),
      dense(scope("output")("dense"), c.hidden_size, c.hidden_size, Bias::kRequired),
      norm(scope("output")("LayerNorm"), c.hidden_size, c.layer_norm_eps) {}

at::Tensor QFormer::Attention::operator()(const at::Tensor& x, const at::Tensor& context,
                                          int heads) const {
  const std::vector<at::Tensor> kv = key_value(context).chunk(2, -1);
  const at::Tensor mixed = full_attention(split_heads(query(x), heads), split_heads(kv[0], heads),
                                          split_heads(kv[1], heads));
  return norm(dense.added_to(x, mixed));
}

QFormer::FeedForward::FeedForward(const QFormerConfig& c, const WeightScope& intermediate,
                                  const WeightScope& output)
    : up(intermediate("dense"), c.hidden_size, c.intermediate_size, Bias::kRequired),
      down(output("dense"), c.intermediate_size, c.hidden_size, Bias::kRequired),
      norm(output("LayerNorm"), c.hidden_size, c.layer_norm_eps) {}

at::Tensor QFormer::FeedForward::operator()(const at::Tensor& x, Activation activation) const {
  return norm(down.added_to(x, up.activated(x, activation)));
}

QFormer::Layer::Layer(const QFormerConfig& c, const WeightScope& scope, bool crosses)
    : self_attention(c, scope("attention"), c.hidden_size),
      query_ffn(c, scope("intermediate_query"), scope("output_query")) {
  if (c.reads_text) text_ffn.emplace(c, scope("intermediate"), scope("output"));
  if (crosses) cross_attention.emplace(c, scope("crossattention"), c.encoder_hidden_size);
}

QFormer::QFormer(const QFormerConfig& config, const WeightScope& scope, at::Tensor queries)
    : config_(config),
      queries_(std::move(queries)),
      norm_(config.reads_text ? scope("embeddings")("layernorm") : scope("layernorm"),
            config.hidden_size, config.layer_norm_eps) {
  if (config.reads_text) {
    const WeightScope embeddings = scope("embeddings");
    words_ =
        embeddings("word_embeddings").tensor("weight", {config.vocab_size, config.hidden_size});
    positions_ = embeddings("position_embeddings")
                     .tensor("weight", {config.max_positions, config.hidden_size});
  }
  for (int i = 0; i < config.num_layers; ++i) {
    layers_.emplace_back(config, scope("encoder")("layer")(i),
                         i % config.cross_attention_frequency == 0);
  }
}

at::Tensor QFormer::embed(const at::Tensor& ids) const {
  const int64_t n = ids.size(0);
  if (ids.size(1) == 0) return norm_(queries_.expand({n, -1, -1}));
  const at::Tensor text = at::embedding(words_, ids) + positions_.narrow(0, 0, ids.size(1));
  return norm_(at::cat({queries_.expand({n, -1, -1}), text}, 1));
}

at::Tensor QFormer::layer(int i, const at::Tensor& x, const at::Tensor& image) const {
  const Layer& layer = layers_[i];
  const at::Tensor mixed = layer.self_attention(x, x, config_.num_heads);
  at::Tensor queries = mixed.narrow(1, 0, config_.num_queries);
  if (layer.cross_attention) queries = (*layer.cross_attention)(queries, image, config_.num_heads);
  queries = layer.query_ffn(queries, config_.activation);
  const int64_t text_rows = mixed.size(1) - config_.num_queries;
  if (text_rows == 0) return queries;
  const at::Tensor text = mixed.narrow(1, config_.num_queries, text_rows);
  return at::cat({queries, (*layer.text_ffn)(text, config_.activation)}, 1);
}

at::Tensor QFormer::operator()(const at::Tensor& image, const at::Tensor& ids) const {
  at::Tensor x = embed(ids);
  for (int i = 0; i < config_.num_layers; ++i) x = layer(i, x, image);
  return x.narrow(1, 0, config_.num_queries);
}

}  // namespace saccade
