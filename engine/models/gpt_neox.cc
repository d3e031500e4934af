// GPT-NeoX (Black et al. 2022; Pythia, RedPajama-INCITE) as the reference's GPTNeoXForCausalLM has
// it: LayerNorm, biases, a plain MLP, part of each head rotated, and both sublayers side by side
// unless the file says otherwise.

#include <optional>

#include "engine/models/decoder_parsers.h"

namespace saccade {
namespace {

// 4.x has fields of its own for what 5.x keeps in rope_parameters. In 4.x these alone count, though
// its files also hold rope_theta and partial_rotary_factor.
RopeConfig read_rope(const JsonView& config, int head_dim, int max_positions) {
  constexpr double kPart = 0.25, kTheta = 1e4;
  const std::optional<JsonView> parameters = config.object("rope_parameters");
  const bool nested = parameters && parameters->has("partial_rotary_factor");
  const JsonView& place = nested ? *parameters : config;
  const char* key = nested ? "partial_rotary_factor" : "rotary_pct";
  const int dim = static_cast<int>(head_dim * place.number_in(key, kPart, 0, 1));
  if (dim == 0 || dim % 2 != 0) {
    place.fail(key,
               "rotates " + std::to_string(dim) + " dimensions of a head; expected an even number");
  }
  const double theta = config.number_in("rotary_emb_base", kTheta, 1e-3, 1e18);
  RopeConfig rope = RopeConfig::parse(config, dim, max_positions, theta);
  if (!parameters || !parameters->has("rope_theta")) rope.theta = theta;
  refuse_proportional(rope, config);
  return rope;
}

}  // namespace

DecoderConfig parse_gpt_neox(const JsonView& config) {
  DecoderConfig neox;
  neox.vocab_size = config.positive_int("vocab_size", 50432);
  neox.hidden_size = neox.embedding_size = config.positive_int("hidden_size", 6144);
  neox.intermediate_size = config.positive_int("intermediate_size", 24576);
  neox.num_layers = config.integer_or("num_hidden_layers", 44, 1, kMaxLayers);
  neox.max_positions = config.positive_int("max_position_embeddings", 2048);
  neox.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
  share_width_among_heads(neox, config, "num_attention_heads", 64, "hidden_size");
  neox.rope = read_rope(config, neox.head_dim, neox.max_positions);
  neox.norm = NormKind::kLayer;
  neox.norm_eps = config.number_in("layer_norm_eps", 1e-5, 0, 1);
  neox.parallel_residual = config.boolean("use_parallel_residual", true);
  neox.qkv_bias = neox.output_bias = config.boolean("attention_bias", true);
  neox.qkv_by_head = true;
  neox.mlp_bias = true;
  neox.gated_mlp = false;
  neox.activation =
      parse_activation(config.string("hidden_act", "gelu"), config.path_of("hidden_act"));
  neox.names = {.backbone = "gpt_neox",
                .head = "embed_out",
                .embedding = "embed_in",
                .final_norm = "final_layer_norm",
                .attention = "attention",
                .qkv = "query_key_value",
                .output = "dense",
                .up = "dense_h_to_4h",
                .down = "dense_4h_to_h"};
  return neox;
}

}  // namespace saccade
