#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/layers/activation.h"
#include "engine/layers/norm.h"
#include "engine/layers/rope.h"
#include "engine/weights/json.h"

namespace saccade {

// How a decoder knows where its tokens stand.
enum class PositionKind { kRotary, kLearned, kAlibi };

// What is normalised of q and k before they are rotated: each head by itself, or all heads of a
// token as one row.
enum class QkNorm { kNone, kHeads, kWhole };

// What a decoder's tensors are called below its backbone. Empty: the model has no such tensor.
struct DecoderNames {
  std::string_view backbone = "model";  // within the class with a head
  std::string_view head = "lm_head";    // there; "lm_head" is understood as well
  std::string_view stem = "";           // between the backbone and the embedding, layers, the rest
  std::string_view embedding = "embed_tokens";
  std::string_view layers = "layers";
  std::string_view final_norm = "norm";
  std::string_view attention_norm = "input_layernorm";
  std::string_view attention_output_norm = "";
  std::string_view mlp_norm = "post_attention_layernorm";
  std::string_view mlp_output_norm = "";
  std::string_view attention = "self_attn";
  std::string_view qkv = "";  // one tensor instead of q_proj, k_proj and v_proj
  std::string_view query_norm = "q_norm";
  std::string_view key_norm = "k_norm";
  std::string_view output = "o_proj";
  std::string_view mlp = "mlp";
  std::string_view gate_up = "";  // one tensor instead of gate_proj and up
  std::string_view up = "up_proj";
  std::string_view down = "down_proj";
};

// A decoder-only language model as data: what tells LLaMA, Mistral, Qwen, Phi, Gemma, OPT, MPT and
// GPT-NeoX apart.
struct DecoderConfig {
  std::string type;  // the reference library's model_type
  int vocab_size = 0;
  int additional_vocab_size = 0;  // the last so many stand in tensors of their own (IDEFICS)
  int hidden_size = 0;
  int embedding_size = 0;  // width of the token embedding; OPT may project it to hidden_size
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int max_positions = 0;
  bool tie_word_embeddings = false;

  NormKind norm = NormKind::kRms;
  double norm_eps = 0;
  bool norm_bias = true;   // of LayerNorms
  bool norm_first = true;  // false: after each residual sum instead of before each sublayer
  bool final_norm = true;
  QkNorm qk_norm = QkNorm::kNone;
  bool parallel_residual = false;  // both sublayers of a layer read its input

  bool qkv_bias = false;
  bool qkv_by_head = false;  // the one tensor holds q, k and v of a head behind each other
  double qkv_clip = 0;       // q, k and v are kept within +-clip before all else; 0: as they are
  bool output_bias = false;
  bool mlp_bias = false;
  bool gated_mlp = true;
  Activation activation = Activation::kSilu;

  double attention_scale = 0;  // of q k
  // Queries grow with their place: by 1 + query_growth * log(1 + floor(index / growth_period)).
  double query_growth = 0;
  int growth_period = 1;
  double attention_soft_cap = 0;  // scores become cap * tanh(score / cap); 0: none
  double logit_soft_cap = 0;
  double logit_scale = 1;
  double embedding_scale = 1;  // of the token embeddings
  double input_scale = 1;      // of all rows that enter the first layer, visual ones included

  int sliding_window = 0;    // of the layers that slide
  std::vector<bool> slides;  // [num_layers]
  PositionKind positions = PositionKind::kRotary;
  int position_offset = 0;                           // learned positions: row of position 0
  std::vector<float> alibi_slopes;                   // kAlibi: [num_heads], attention.h
  RopeConfig rope;                                   // of the layers that see everything
  std::optional<RopeConfig> rope_of_sliding_layers;  // else the same

  DecoderNames names;
};

// The config of a decoder of that model_type, with the reference class's defaults for what a sparse
// file leaves out. Throws LoadError naming `type_field` of `config` when the type is not known.
DecoderConfig parse_decoder_config(const JsonView& config, const std::string& type);

// model_type of every decoder that has folders of its own, in the order of the documentation.
std::vector<std::string_view> decoder_types();

}  // namespace saccade
