#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "engine/layers/activation.h"
#include "engine/layers/linear.h"
#include "engine/layers/norm.h"
#include "engine/weights/json.h"

namespace saccade {

struct QFormerConfig {
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int max_positions = 0;
  int cross_attention_frequency = 0;
  int encoder_hidden_size = 0;  // width of the image tokens
  int num_queries = 0;
  bool reads_text = true;  // InstructBLIP; BLIP-2's holds query rows alone
  double layer_norm_eps = 0;
  Activation activation = Activation::kGelu;

  static QFormerConfig parse(const JsonView& config, int num_queries);
};

// The Querying Transformer of BLIP-2 (Li et al. 2023; transformers' modeling_blip_2.py): a
// post-norm BERT over query rows that look at the image in every cross_attention_frequency-th
// layer. InstructBLIP's (Dai et al. 2023; modeling_instructblip.py) holds [queries; text], with
// feed-forward weights of their own for the text rows.
class QFormer {
 public:
  // `scope` holds embeddings (BLIP-2: layernorm) and encoder; `queries` is [1, num_queries,
  // hidden].
  QFormer(const QFormerConfig& config, const WeightScope& scope, at::Tensor queries);

  // ids [n, text] -> [n, num_queries + text, hidden]. Queries carry no position; text positions
  // start at 0. Without text [n, 0].
  at::Tensor embed(const at::Tensor& ids) const;

  // One layer: x as embed() gives it, image [n, image tokens, encoder_hidden_size].
  at::Tensor layer(int i, const at::Tensor& x, const at::Tensor& image) const;

  // Query rows of the last layer: [n, num_queries, hidden].
  at::Tensor operator()(const at::Tensor& image, const at::Tensor& ids) const;

  const QFormerConfig& config() const { return config_; }

 private:
  struct Attention {
    Attention(const QFormerConfig& config, const WeightScope& scope, int key_width);
    at::Tensor operator()(const at::Tensor& x, const at::Tensor& context, int heads) const;

    Linear query;
    Linear key_value;  // rows k | v
    Linear dense;
    LayerNorm norm;
  };
  struct FeedForward {
    FeedForward(const QFormerConfig& config, const WeightScope& intermediate,
                const WeightScope& output);
    at::Tensor operator()(const at::Tensor& x, Activation activation) const;

    Linear up;
    Linear down;
    LayerNorm norm;
  };
  struct Layer {
    Layer(const QFormerConfig& config, const WeightScope& scope, bool crosses);

    Attention self_attention;
    std::optional<Attention> cross_attention;
    FeedForward query_ffn;
    std::optional<FeedForward> text_ffn;
  };

  QFormerConfig config_;
  at::Tensor queries_;    // [1, num_queries, hidden]
  at::Tensor words_;      // [vocab, hidden], where text is read
  at::Tensor positions_;  // [max_positions, hidden], where text is read
  LayerNorm norm_;
  std::vector<Layer> layers_;
};

}  // namespace saccade
