#include "engine/models/decoder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace saccade {
namespace {

Bias required_if(bool condition) { return condition ? Bias::kRequired : Bias::kNone; }

WeightScope stem_of(const DecoderConfig& config, const WeightScope& backbone) {
  return config.names.stem.empty() ? backbone : backbone(config.names.stem);
}

// "model" where the file has the backbone under that name, as towers' classes call any decoder's.
WeightScope backbone_of(const DecoderConfig& config, const WeightScope& with_head) {
  const WeightScope plain = with_head("model");
  const bool is_plain = stem_of(config, plain)(config.names.embedding).has("weight");
  return is_plain ? plain : with_head(config.names.backbone);
}

// The rows of one tensor that holds q, k and v of each head behind each other, in the order that
// attention reads them: q of all heads, then k, then v.
at::Tensor rows_by_kind(const DecoderConfig& c) {
  const at::Tensor rows = at::arange(int64_t{3} * c.num_heads * c.head_dim, at::kLong);
  return rows.view({c.num_heads, 3, c.head_dim}).transpose(0, 1).flatten();
}

Linear make_qkv(const DecoderConfig& c, const WeightScope& attention) {
  const int64_t queries = int64_t{c.num_heads} * c.head_dim;
  const int64_t keys = int64_t{c.num_kv_heads} * c.head_dim;
  const Bias bias = required_if(c.qkv_bias);
  if (!c.names.qkv.empty()) {
    const at::Tensor order = c.qkv_by_head ? rows_by_kind(c) : at::Tensor();
    return Linear({{attention(c.names.qkv), queries + 2 * keys, order}}, c.hidden_size, bias);
  }
  return Linear(
      {{attention("q_proj"), queries}, {attention("k_proj"), keys}, {attention("v_proj"), keys}},
      c.hidden_size, bias);
}

Linear make_up(const DecoderConfig& c, const WeightScope& mlp) {
  const Bias bias = required_if(c.mlp_bias);
  if (!c.gated_mlp) return Linear(mlp(c.names.up), c.hidden_size, c.intermediate_size, bias);
  if (!c.names.gate_up.empty()) {
    return Linear(mlp(c.names.gate_up), c.hidden_size, int64_t{2} * c.intermediate_size, bias);
  }
  return Linear({{mlp("gate_proj"), c.intermediate_size}, {mlp(c.names.up), c.intermediate_size}},
                c.hidden_size, bias);
}

Norm sublayer_norm(const DecoderConfig& c, const WeightScope& scope) {
  return Norm(c.norm, scope, c.hidden_size, c.norm_eps, c.norm_bias);
}

std::optional<Norm> make_norm_if_named(std::string_view name, const DecoderConfig& c,
                                       const WeightScope& scope) {
  if (name.empty()) return std::nullopt;
  return sublayer_norm(c, scope(name));
}

std::optional<RmsNorm> make_head_norm(const DecoderConfig& c, const WeightScope& scope) {
  if (c.qk_norm != QkNorm::kHeads) return std::nullopt;
  return RmsNorm(scope, c.head_dim, c.norm_eps, scale_of(c.norm));
}

std::optional<Norm> make_whole_norm(const DecoderConfig& c, int heads, const WeightScope& scope) {
  if (c.qk_norm != QkNorm::kWhole) return std::nullopt;
  return Norm(c.norm, scope, int64_t{heads} * c.head_dim, c.norm_eps, c.norm_bias);
}

WeightScope mlp_scope(const DecoderConfig& c, const WeightScope& layer) {
  return c.names.mlp.empty() ? layer : layer(c.names.mlp);
}

at::Tensor make_embedding(const DecoderConfig& c, const WeightScope& scope) {
  const int own = c.vocab_size - c.additional_vocab_size;
  const at::Tensor rows = scope.tensor("weight", {own, c.embedding_size});
  if (c.additional_vocab_size == 0) return rows;
  return at::cat({rows, scope("additional_embedding")
                            .tensor("weight", {c.additional_vocab_size, c.embedding_size})});
}

// `table`, the embeddings, serves where the head has no weights of its own; `embedding` is its
// tensor.
Linear make_head(const DecoderConfig& config, const WeightScope& head, const WeightScope& table,
                 const at::Tensor& embedding) {
  const WeightScope named = head(config.names.head);
  const WeightScope own = (named.has("weight") ? named : head("lm_head")).quantizable_to_int8();
  const bool tied = config.tie_word_embeddings || !own.has("weight");
  if (tied && !table.stored_format("weight")) {
    return Linear(embedding, std::nullopt, own.quantization());
  }
  if (config.additional_vocab_size == 0) {
    return Linear(tied ? table : own, config.embedding_size, config.vocab_size, Bias::kNone);
  }
  return Linear({{own, config.vocab_size - config.additional_vocab_size},
                 {own("additional_fc"), config.additional_vocab_size}},
                config.embedding_size, Bias::kNone);
}

AttentionShape attention_shape(const DecoderConfig& c, int layer, const at::Tensor& slopes) {
  return {.heads = c.num_heads,
          .kv_heads = c.num_kv_heads,
          .head_dim = c.head_dim,
          .scale = static_cast<float>(c.attention_scale),
          .sliding_window = c.slides[layer] ? c.sliding_window : 0,
          .soft_cap = static_cast<float>(c.attention_soft_cap),
          .alibi_slopes = slopes};
}

at::Tensor soft_capped(const at::Tensor& logits, double cap) {
  return cap > 0 ? at::tanh(logits / cap).mul_(cap) : logits;
}

}  // namespace

Decoder::Layer::Layer(const DecoderConfig& c, const WeightScope& scope)
    : attention_norm(sublayer_norm(c, scope(c.names.attention_norm))),
      qkv(make_qkv(c, scope(c.names.attention))),
      query_norm(make_head_norm(c, scope(c.names.attention)(c.names.query_norm))),
      key_norm(make_head_norm(c, scope(c.names.attention)(c.names.key_norm))),
      whole_query_norm(
          make_whole_norm(c, c.num_heads, scope(c.names.attention)(c.names.query_norm))),
      whole_key_norm(
          make_whole_norm(c, c.num_kv_heads, scope(c.names.attention)(c.names.key_norm))),
      output(scope(c.names.attention)(c.names.output), int64_t{c.num_heads} * c.head_dim,
             c.hidden_size, required_if(c.output_bias)),
      attention_output_norm(make_norm_if_named(c.names.attention_output_norm, c, scope)),
      mlp_norm(sublayer_norm(c, scope(c.names.mlp_norm))),
      up(make_up(c, mlp_scope(c, scope))),
      down(mlp_scope(c, scope)(c.names.down), c.intermediate_size, c.hidden_size,
           required_if(c.mlp_bias)),
      mlp_output_norm(make_norm_if_named(c.names.mlp_output_norm, c, scope)) {}

Decoder::Decoder(const DecoderConfig& config, const WeightScope& backbone, const WeightScope& head)
    : config_(config) {
  const WeightScope stem = stem_of(config, backbone);
  embedding_ = make_embedding(config, stem(config.names.embedding));
  make_positions(stem);
  if (config.embedding_size != config.hidden_size) {
    project_in_.emplace(stem("project_in"), config.embedding_size, config.hidden_size, Bias::kNone);
    project_out_.emplace(stem("project_out"), config.hidden_size, config.embedding_size,
                         Bias::kNone);
  }
  for (int i = 0; i < config.num_layers; ++i) {
    layers_.emplace_back(config, stem(config.names.layers)(i).quantizable());
  }
  inserts_.resize(layers_.size());
  if (config.final_norm) norm_ = make_norm_if_named(config.names.final_norm, config, stem);
  head_ = make_head(config, head, stem(config.names.embedding), embedding_);
}

Decoder::Decoder(const DecoderConfig& config, const WeightScope& with_head)
    : Decoder(config, backbone_of(config, with_head), with_head) {}

void Decoder::make_positions(const WeightScope& stem) {
  switch (config_.positions) {
    case PositionKind::kRotary:
      rope_.emplace(config_.rope);
      if (config_.rope_of_sliding_layers) sliding_rope_.emplace(*config_.rope_of_sliding_layers);
      break;
    case PositionKind::kLearned: {
      const int64_t rows = int64_t{config_.position_offset} + config_.max_positions;
      positions_ = stem("embed_positions").tensor("weight", {rows, config_.hidden_size});
      break;
    }
    case PositionKind::kAlibi:
      alibi_slopes_ = at::tensor(config_.alibi_slopes, at::kFloat).to(stem.device());
      break;
  }
}

at::Tensor Decoder::embed(const at::Tensor& ids) const {
  at::Tensor rows = at::embedding(embedding_, ids);
  // The factor is rounded to the run's dtype first, as in the reference.
  if (config_.embedding_scale != 1) {
    rows = rows * at::scalar_tensor(config_.embedding_scale, rows.options());
  }
  return rows;
}

// The first layer's input from embeddings and visual tokens.
at::Tensor Decoder::enter(at::Tensor h, const AttentionInput& input) const {
  if (project_in_) h = (*project_in_)(h);
  if (config_.input_scale != 1) h = h * at::scalar_tensor(config_.input_scale, h.options());
  if (config_.positions != PositionKind::kLearned) return h;
  if (input.device.indices.defined()) {
    return h + positions_.index_select(0, input.device.indices + config_.position_offset);
  }
  std::vector<int64_t> rows;
  rows.reserve(input.positions.size());
  for (const RopePosition& place : input.positions) {
    rows.push_back(place.index + config_.position_offset);
  }
  return h + positions_.index_select(0, at::tensor(rows, at::kLong));
}

Decoder::RopeTables Decoder::rope_tables(const AttentionInput& input) const {
  RopeTables tables;
  if (!rope_) return tables;
  const at::Tensor& axes = input.device.axes;
  tables.full = rope_->tables(input.positions, axes);
  tables.sliding = sliding_rope_ ? sliding_rope_->tables(input.positions, axes) : tables.full;
  return tables;
}

// [T, 1] in the run's dtype, as the reference rounds it; undefined where every factor is 1.
at::Tensor Decoder::query_growth(const AttentionInput& input, const at::Tensor& h) const {
  const auto steps = [&](const RopePosition& place) { return place.index / config_.growth_period; };
  const bool grows = config_.query_growth != 0 &&
                     std::any_of(input.positions.begin(), input.positions.end(), steps);
  if (!grows) return {};
  at::Tensor factors = at::empty({static_cast<int64_t>(input.positions.size()), 1}, at::kFloat);
  std::transform(input.positions.begin(), input.positions.end(), factors.data_ptr<float>(),
                 [&](const RopePosition& place) {
                   const auto count = static_cast<float>(1 + steps(place));
                   return 1 + static_cast<float>(config_.query_growth) * std::log(count);
                 });
  return factors.to(h.options());
}

void Decoder::normalize_queries_and_keys(const Layer& layer, at::Tensor& qkv) const {
  if (layer.query_norm) {
    layer.query_norm->normalize_heads(qkv, 0, config_.num_heads);
    layer.key_norm->normalize_heads(qkv, config_.num_heads, config_.num_kv_heads);
  }
  if (layer.whole_query_norm) {
    const int64_t queries = int64_t{config_.num_heads} * config_.head_dim;
    at::Tensor q = qkv.narrow(1, 0, queries);
    at::Tensor k = qkv.narrow(1, queries, int64_t{config_.num_kv_heads} * config_.head_dim);
    q.copy_((*layer.whole_query_norm)(q.contiguous()));
    k.copy_((*layer.whole_key_norm)(k.contiguous()));
  }
}

at::Tensor Decoder::attend(int index, const at::Tensor& x, const RopeTables& rope,
                           const AttentionInput& input, const LayerCache& cache) const {
  const Layer& layer = layers_[index];
  at::Tensor qkv =
      layer.qkv(layer.before_attention ? (*layer.before_attention)(x, input) : x, input.adapters);
  if (config_.qkv_clip > 0) qkv.clamp_(-config_.qkv_clip, config_.qkv_clip);
  normalize_queries_and_keys(layer, qkv);
  if (rope.query_growth.defined()) {
    qkv.narrow(1, 0, int64_t{config_.num_heads} * config_.head_dim).mul_(rope.query_growth);
  }
  const at::Tensor& table = config_.slides[index] ? rope.sliding : rope.full;
  const AttentionShape shape = attention_shape(config_, index, alibi_slopes_);
  at::Tensor mixed = paged_attention(qkv, shape, table, input, cache);
  if (!layer.prompts.empty()) {
    layer.prompts.add_to(mixed, rotated_queries(qkv, shape, table), input.adapters);
  }
  if (layer.insert) layer.insert->add_to(mixed, rotated_queries(qkv, shape, table), input);
  const at::Tensor out = layer.output(mixed, input.adapters);
  return layer.attention_output_norm ? (*layer.attention_output_norm)(out) : out;
}

at::Tensor Decoder::mlp(const Layer& layer, const at::Tensor& x,
                        const AdapterRuns& adapters) const {
  const at::Tensor active = config_.gated_mlp
                                ? activate_gated(layer.up(x, adapters), config_.activation)
                                : layer.up.activated(x, config_.activation, adapters);
  const at::Tensor out = layer.down(active, adapters);
  return layer.mlp_output_norm ? (*layer.mlp_output_norm)(out) : out;
}

at::Tensor Decoder::forward(at::Tensor h, const AttentionInput& input, KVCache& cache) const {
  RopeTables rope = rope_tables(input);
  rope.query_growth = query_growth(input, h);
  h = enter(std::move(h), input);
  if (inserts_.front()) h = (*inserts_.front())(h, input);
  at::Tensor x = config_.norm_first ? layers_.front().attention_norm(h) : h;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const at::Tensor mixed = attend(static_cast<int>(i), x, rope, input, cache[i]);
    if (config_.parallel_residual) {
      x = next_input(i + 1, h, mlp(layer, layer.mlp_norm(h), input.adapters) + mixed, input);
    } else if (config_.norm_first) {
      x = next_input(i + 1, h, mlp(layer, layer.mlp_norm.add(h, mixed), input.adapters), input);
    } else {
      h = layer.attention_norm.add(h, mixed);
      const at::Tensor changed = mlp(layer, h, input.adapters);
      x = h = layer.mlp_norm.add(h, changed);
    }
  }
  return project_out_ ? (*project_out_)(x) : x;
}

// h += changed; then what that layer's attention reads, or the decoder's output behind the last.
at::Tensor Decoder::next_input(size_t layer, at::Tensor& h, const at::Tensor& changed,
                               const AttentionInput& input) const {
  if (layer == layers_.size()) return norm_ ? norm_->add(h, changed) : h + changed;
  const Norm& norm = layers_[layer].attention_norm;
  if (!inserts_[layer]) return norm.add(h, changed);
  h = (*inserts_[layer])(h + changed, input);
  return norm(h);
}

bool Decoder::reads_layout_only() const {
  const auto absent = [](const auto& insert) { return insert == nullptr; };
  const bool plain = std::all_of(inserts_.begin(), inserts_.end(), absent) &&
                     std::all_of(layers_.begin(), layers_.end(), [&](const Layer& layer) {
                       return absent(layer.before_attention) && absent(layer.insert);
                     });
  return plain && config_.query_growth == 0 && (!rope_ || rope_->made_of_axes()) &&
         (!sliding_rope_ || sliding_rope_->made_of_axes());
}

void Decoder::insert_before(int layer, std::shared_ptr<const DecoderInsert> insert) {
  if (!config_.norm_first) throw std::logic_error("inserts need a decoder with norms in front");
  inserts_.at(static_cast<size_t>(layer)) = std::move(insert);
}

void Decoder::insert_before_attention(int layer, std::shared_ptr<const DecoderInsert> insert) {
  layers_.at(static_cast<size_t>(layer)).before_attention = std::move(insert);
}

void Decoder::insert_into_attention(int layer, std::shared_ptr<const AttentionInsert> insert) {
  layers_.at(static_cast<size_t>(layer)).insert = std::move(insert);
}

at::Tensor Decoder::keys_and_values(int layer, const at::Tensor& rows) const {
  const int64_t queries = int64_t{config_.num_heads} * config_.head_dim;
  const at::Tensor qkv = layers_.at(static_cast<size_t>(layer)).qkv(rows);
  return qkv.narrow(1, queries, qkv.size(1) - queries);
}

void Decoder::add_adapter(int number, Adapter& adapter) {
  for (Layer& layer : layers_) {
    adapter.apply_to(AttentionParts{config_, layer.qkv, layer.output, layer.prompts}, number);
    for (Linear* linear : {&layer.qkv, &layer.output, &layer.up, &layer.down}) {
      adapter.apply_to(*linear, number);
    }
  }
}

at::Tensor Decoder::logits(const at::Tensor& h) const {
  const at::Tensor logits = soft_capped((*head_)(h), config_.logit_soft_cap);
  return config_.logit_scale == 1 ? logits : logits * config_.logit_scale;
}

}  // namespace saccade
