#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "engine/layers/activation.h"
#include "engine/layers/linear.h"
#include "engine/layers/norm.h"
#include "engine/layers/rope.h"
#include "engine/models/vlm.h"
#include "engine/weights/json.h"

namespace saccade {

// The fields of a LLaMA decoder's config.json, with the class defaults of the reference library
// for what a sparse file leaves out.
struct LlamaConfig {
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int max_positions = 0;
  double rms_norm_eps = 0;
  bool attention_bias = false;
  bool mlp_bias = false;
  bool tie_word_embeddings = false;
  RopeConfig rope;

  static LlamaConfig parse(const JsonView& config);
};

// LLaMA (Touvron et al. 2023; transformers' modeling_llama.py): pre-norm blocks of grouped-query
// attention with rotary positions and a gated SiLU MLP.
class LlamaDecoder {
 public:
  // `backbone` holds embed_tokens, layers and norm; `head` holds lm_head. The embedding serves as
  // head when config.tie_word_embeddings says so or the file has no head.
  LlamaDecoder(const LlamaConfig& config, const WeightScope& backbone, const WeightScope& head);

  at::Tensor embed(const at::Tensor& ids) const;                                  // [T] -> [T, H]
  at::Tensor forward(at::Tensor h, AttentionInput& input, KVCache& cache) const;  // [T, H]
  at::Tensor logits(const at::Tensor& h) const;  // [n, H] -> [n, V]

  CacheShape cache_shape() const {
    return {config_.num_layers, config_.num_kv_heads, config_.head_dim};
  }
  const LlamaConfig& config() const { return config_; }
  bool prefix_cacheable() const { return !rope_.depends_on_length(); }

 private:
  struct Layer {
    Layer(const LlamaConfig& config, const WeightScope& scope);

    RmsNorm input_norm;
    Linear qkv;     // [(heads + 2 kv_heads) * head_dim, hidden]
    Linear output;  // [hidden, heads * head_dim]
    RmsNorm post_attention_norm;
    Linear gate_up;  // [2 * intermediate, hidden]
    Linear down;     // [hidden, intermediate]
  };

  LlamaConfig config_;
  Rope rope_;
  AttentionShape attention_;
  at::Tensor embedding_;  // [vocab, hidden]
  std::vector<Layer> layers_;
  RmsNorm norm_;
  std::unique_ptr<Linear> head_;
};

}  // namespace saccade
