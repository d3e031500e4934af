#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <vector>

#include "engine/layers/attention_prompts.h"
#include "engine/layers/linear.h"
#include "engine/layers/norm.h"
#include "engine/layers/rope.h"
#include "engine/models/adapter.h"
#include "engine/models/decoder_config.h"
#include "engine/models/vlm.h"

namespace saccade {

// Something between two layers of a decoder that changes the residual stream, or between a layer's
// norm and attention that changes what the latter reads, h [T, H] -> [T, H]. A token's row depends
// on that row and on what the step's layout says of it alone.
class DecoderInsert {
 public:
  virtual ~DecoderInsert() = default;
  virtual at::Tensor operator()(const at::Tensor& h, const AttentionInput& input) const = 0;
};

// Something that a layer's tokens look at beside their own keys (LLaMA-Adapter): it adds to what
// they have seen, mixed [T, heads * d], in place. queries [T, heads, d], rotated.
class AttentionInsert {
 public:
  virtual ~AttentionInsert() = default;
  virtual void add_to(at::Tensor& mixed, const at::Tensor& queries,
                      const AttentionInput& input) const = 0;
};

// A decoder-only language model: blocks of grouped-query attention over the paged cache and an MLP,
// in the variants that DecoderConfig tells (LLaMA: Touvron et al. 2023; OPT: Zhang et al. 2022;
// Gemma 2: Gemma Team 2024; GPT-NeoX: Black et al. 2022; MPT: MosaicML 2023).
class Decoder {
 public:
  // `backbone` holds embedding, layers and norm; `head` holds lm_head. The embedding serves as
  // head when config.tie_word_embeddings says so or the file has no head.
  Decoder(const DecoderConfig& config, const WeightScope& backbone, const WeightScope& head);
  // Both as the reference's class with a head names them.
  Decoder(const DecoderConfig& config, const WeightScope& with_head);

  at::Tensor embed(const at::Tensor& ids) const;  // [T] -> [T, embedding_size]
  // [T, embedding_size] -> [T, embedding_size]
  at::Tensor forward(at::Tensor h, const AttentionInput& input, KVCache& cache) const;
  // From now on `insert` runs before that layer. At load only; norms stand before the sublayers.
  void insert_before(int layer, std::shared_ptr<const DecoderInsert> insert);
  // From now on that layer's attention reads what `insert` makes of its normalised input. At load
  // only.
  void insert_before_attention(int layer, std::shared_ptr<const DecoderInsert> insert);
  // From now on `insert` takes part in that layer's attention. At load only.
  void insert_into_attention(int layer, std::shared_ptr<const AttentionInsert> insert);
  // What that layer's projections make of rows [n, hidden], unrotated: [n, 2 * kv_heads *
  // head_dim], keys then values.
  at::Tensor keys_and_values(int layer, const at::Tensor& rows) const;
  // Puts an adapter's updates onto the layers' projections.
  void add_adapter(int number, Adapter& adapter);
  at::Tensor logits(const at::Tensor& h) const;  // [n, embedding_size] -> [n, V]

  CacheShape cache_shape() const {
    return {config_.num_layers, config_.num_kv_heads, config_.head_dim};
  }
  const DecoderConfig& config() const { return config_; }
  bool prefix_cacheable() const { return !config_.rope.depends_on_length(); }
  // VisionLanguageModel::reads_layout_only().
  bool reads_layout_only() const;

 private:
  struct Layer {
    Layer(const DecoderConfig& config, const WeightScope& scope);

    Norm attention_norm;
    std::shared_ptr<const DecoderInsert> before_attention;  // of the family; null: none
    Linear qkv;                         // [(heads + 2 kv_heads) * head_dim, hidden]
    std::optional<RmsNorm> query_norm;  // of each head
    std::optional<RmsNorm> key_norm;
    std::optional<Norm> whole_query_norm;  // of all heads together
    std::optional<Norm> whole_key_norm;
    AttentionPrompts prompts;                       // of adapters
    std::shared_ptr<const AttentionInsert> insert;  // of the family; null: none
    Linear output;                                  // [hidden, heads * head_dim]
    std::optional<Norm> attention_output_norm;
    Norm mlp_norm;
    Linear up;    // [intermediate, hidden], or rows gate | up: [2 * intermediate, hidden]
    Linear down;  // [hidden, intermediate]
    std::optional<Norm> mlp_output_norm;
  };
  // cos and sin of a step's tokens, [2, T, rotary_dim / 2]; undefined without rotary positions.
  struct RopeTables {
    at::Tensor full;
    at::Tensor sliding;
    at::Tensor query_growth;  // [T, 1]; undefined where every factor is 1
  };

  void make_positions(const WeightScope& stem);
  at::Tensor enter(at::Tensor h, const AttentionInput& input) const;
  RopeTables rope_tables(const AttentionInput& input) const;
  at::Tensor query_growth(const AttentionInput& input, const at::Tensor& h) const;
  void normalize_queries_and_keys(const Layer& layer, at::Tensor& qkv) const;
  at::Tensor attend(int layer, const at::Tensor& x, const RopeTables& rope,
                    const AttentionInput& input, const LayerCache& cache) const;
  at::Tensor next_input(size_t layer, at::Tensor& h, const at::Tensor& changed,
                        const AttentionInput& input) const;
  at::Tensor mlp(const Layer& layer, const at::Tensor& x, const AdapterRuns& adapters) const;

  DecoderConfig config_;
  std::optional<Rope> rope_;
  std::optional<Rope> sliding_rope_;
  at::Tensor embedding_;     // [vocab, embedding_size]
  at::Tensor positions_;     // [position_offset + max_positions, hidden], learned
  at::Tensor alibi_slopes_;  // [heads] float32
  std::optional<Linear> project_in_;
  std::vector<Layer> layers_;
  std::vector<std::shared_ptr<const DecoderInsert>> inserts_;  // [num_layers]; null: none
  std::optional<Norm> norm_;
  std::optional<Linear> project_out_;
  std::optional<Linear> head_;
};

}  // namespace saccade
