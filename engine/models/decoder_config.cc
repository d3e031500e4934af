#include "engine/models/decoder_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "engine/models/decoder_parsers.h"

namespace saccade {
namespace {

// Class defaults of the reference library's configuration classes.
struct Defaults {
  int vocab_size;
  int hidden_size;
  int intermediate_size;
  int num_layers;
  int num_heads;
  int num_kv_heads;  // 0: num_heads
  int max_positions;
  int head_dim = 0;  // 0: hidden_size / num_heads
  double norm_eps = 1e-6;
  double theta = 10000.0;
  bool partial_rotary = false;  // the class knows partial_rotary_factor
  bool tied = false;
  const char* activation_key = "hidden_act";
  const char* activation = "silu";
};

void read_heads(DecoderConfig& decoder, const JsonView& config, const Defaults& defaults) {
  decoder.num_heads = config.positive_int("num_attention_heads", defaults.num_heads);
  const bool grouped = defaults.num_kv_heads > 0 && !config.is_null("num_key_value_heads");
  decoder.num_kv_heads = config.positive_int("num_key_value_heads",
                                             grouped ? defaults.num_kv_heads : decoder.num_heads);
  if (decoder.num_heads % decoder.num_kv_heads != 0) {
    config.fail("num_key_value_heads", "does not divide num_attention_heads");
  }
  int head_dim = config.is_null("head_dim") ? 0 : defaults.head_dim;
  if (head_dim == 0) {
    if (!config.has("head_dim") && decoder.hidden_size % decoder.num_heads != 0) {
      config.fail("num_attention_heads", "does not divide hidden_size");
    }
    head_dim = decoder.hidden_size / decoder.num_heads;
  }
  decoder.head_dim = config.positive_int("head_dim", head_dim);
  if (decoder.head_dim > kMaxHeadDim) {
    config.fail(config.has("head_dim") ? "head_dim" : "hidden_size",
                "makes heads wider than " + std::to_string(kMaxHeadDim));
  }
  decoder.attention_scale = 1 / std::sqrt(static_cast<double>(decoder.head_dim));
}

void read_activation(DecoderConfig& decoder, const JsonView& config, const Defaults& defaults) {
  const char* key = defaults.activation_key;
  decoder.activation =
      parse_activation(config.string(key, defaults.activation), config.path_of(key));
}

// Dimensions of a head that are rotated. The factor stands in rope_parameters in 5.x.
int read_rotary_dim(const JsonView& config, int head_dim) {
  const std::optional<JsonView> parameters = config.object("rope_parameters");
  const bool nested = parameters && parameters->has("partial_rotary_factor");
  const JsonView& place = nested ? *parameters : config;
  const int dim = static_cast<int>(head_dim * place.number_in("partial_rotary_factor", 1, 0, 1));
  if (dim == 0 || dim % 2 != 0) {
    place.fail("partial_rotary_factor",
               "rotates " + std::to_string(dim) + " dimensions of a head; expected an even number");
  }
  return dim;
}

// What all decoders but OPT have.
DecoderConfig read_common(const JsonView& config, const Defaults& defaults) {
  DecoderConfig decoder;
  decoder.vocab_size = config.positive_int("vocab_size", defaults.vocab_size);
  decoder.hidden_size = config.positive_int("hidden_size", defaults.hidden_size);
  decoder.embedding_size = decoder.hidden_size;
  decoder.intermediate_size = config.positive_int("intermediate_size", defaults.intermediate_size);
  decoder.num_layers = config.positive_int("num_hidden_layers", defaults.num_layers);
  if (decoder.num_layers > kMaxLayers) {
    config.fail("num_hidden_layers", "more than " + std::to_string(kMaxLayers));
  }
  decoder.max_positions = config.positive_int("max_position_embeddings", defaults.max_positions);
  decoder.norm_eps = config.number_in("rms_norm_eps", defaults.norm_eps, 0, 1);
  decoder.tie_word_embeddings = config.boolean("tie_word_embeddings", defaults.tied);
  read_heads(decoder, config, defaults);
  read_activation(decoder, config, defaults);
  if (decoder.head_dim % 2 != 0) config.fail("head_dim", "must be even");
  const int rotary_dim =
      defaults.partial_rotary ? read_rotary_dim(config, decoder.head_dim) : decoder.head_dim;
  decoder.rope = RopeConfig::parse(config, rotary_dim, decoder.max_positions, defaults.theta);
  if (defaults.partial_rotary) refuse_proportional(decoder.rope, config);
  decoder.slides.assign(decoder.num_layers, false);
  return decoder;
}

// An absent window is the class default's, a null one none.
int read_window(const JsonView& config, int fallback) {
  if (config.is_null("sliding_window")) return 0;
  return config.has("sliding_window") ? config.positive_int("sliding_window") : fallback;
}

// The same for a decoder all of whose layers slide where there is a window.
void read_window_of_all(DecoderConfig& decoder, const JsonView& config, int fallback) {
  decoder.sliding_window = read_window(config, fallback);
  decoder.slides.assign(decoder.num_layers, decoder.sliding_window > 0);
}

// A number with a class default that null switches off.
double read_cap(const JsonView& config, const char* key, double fallback) {
  if (config.is_null(key)) return 0;
  return config.has(key) ? config.number_in(key, fallback, 1e-6, 1e9) : fallback;
}

// layer_types of the file, else `slides_by_default` of each layer.
template <typename Rule>
void read_layer_types(DecoderConfig& decoder, const JsonView& config, Rule slides_by_default) {
  const std::vector<std::string> types = config.string_list("layer_types");
  if (!types.empty() && static_cast<int>(types.size()) != decoder.num_layers) {
    config.fail("layer_types", "names " + std::to_string(types.size()) + " layers of " +
                                   std::to_string(decoder.num_layers));
  }
  for (int i = 0; i < decoder.num_layers; ++i) {
    if (types.empty()) {
      decoder.slides[i] = slides_by_default(i);
    } else if (types[i] == "sliding_attention" || types[i] == "full_attention") {
      decoder.slides[i] = types[i] == "sliding_attention";
    } else {
      config.fail("layer_types", printable(types[i]) +
                                     " is not supported (known: full_attention, "
                                     "sliding_attention)");
    }
  }
}

DecoderConfig parse_llama(const JsonView& config) {
  DecoderConfig llama = read_common(config, {.vocab_size = 32000,
                                             .hidden_size = 4096,
                                             .intermediate_size = 11008,
                                             .num_layers = 32,
                                             .num_heads = 32,
                                             .num_kv_heads = 0,
                                             .max_positions = 2048});
  llama.qkv_bias = llama.output_bias = config.boolean("attention_bias", false);
  llama.mlp_bias = config.boolean("mlp_bias", false);
  return llama;
}

DecoderConfig parse_mistral(const JsonView& config) {
  DecoderConfig mistral = read_common(config, {.vocab_size = 32000,
                                               .hidden_size = 4096,
                                               .intermediate_size = 14336,
                                               .num_layers = 32,
                                               .num_heads = 32,
                                               .num_kv_heads = 8,
                                               .max_positions = 4096 * 32});
  read_window_of_all(mistral, config, 4096);
  return mistral;
}

// Mistral's layers under queries that grow beyond the original length (modeling_ministral3.py).
DecoderConfig parse_ministral3(const JsonView& config) {
  const JsonView rope = config.required_object("rope_parameters");
  DecoderConfig ministral = read_common(config, {.vocab_size = 131072,
                                                 .hidden_size = 4096,
                                                 .intermediate_size = 14336,
                                                 .num_layers = 34,
                                                 .num_heads = 32,
                                                 .num_kv_heads = 8,
                                                 .max_positions = 262144,
                                                 .head_dim = 128,
                                                 .norm_eps = 1e-5,
                                                 .theta = 1e6});
  read_window_of_all(ministral, config, 0);
  ministral.query_growth = rope.number("llama_4_scaling_beta");
  ministral.growth_period = rope.positive_int("original_max_position_embeddings");
  return ministral;
}

// Qwen 2 and 3: layers from max_window_layers on may slide.
void read_qwen_window(DecoderConfig& qwen, const JsonView& config, int first_by_default = 28) {
  if (!config.boolean("use_sliding_window", false)) return;
  qwen.sliding_window = read_window(config, 4096);
  if (qwen.sliding_window == 0) return;
  const int first = config.integer_or("max_window_layers", first_by_default, 0);
  read_layer_types(qwen, config, [first](int layer) { return layer >= first; });
}

DecoderConfig read_qwen2(const JsonView& config, const Defaults& defaults, int first_to_slide) {
  DecoderConfig qwen = read_common(config, defaults);
  qwen.qkv_bias = true;
  read_qwen_window(qwen, config, first_to_slide);
  return qwen;
}

DecoderConfig parse_qwen2(const JsonView& config) {
  return read_qwen2(config,
                    {.vocab_size = 151936,
                     .hidden_size = 4096,
                     .intermediate_size = 22016,
                     .num_layers = 32,
                     .num_heads = 32,
                     .num_kv_heads = 32,
                     .max_positions = 32768},
                    28);
}

// The decoder of Qwen2-VL and Qwen2.5-VL: Qwen 2 with other defaults, and positions of three axes
// (rope_scaling.mrope_section).
DecoderConfig parse_qwen2_vl(const JsonView& config) {
  return read_qwen2(config,
                    {.vocab_size = 152064,
                     .hidden_size = 8192,
                     .intermediate_size = 29568,
                     .num_layers = 80,
                     .num_heads = 64,
                     .num_kv_heads = 8,
                     .max_positions = 32768,
                     .norm_eps = 1e-5,
                     .theta = 1e6},
                    80);
}

DecoderConfig parse_qwen3(const JsonView& config) {
  DecoderConfig qwen = read_common(config, {.vocab_size = 151936,
                                            .hidden_size = 4096,
                                            .intermediate_size = 22016,
                                            .num_layers = 32,
                                            .num_heads = 32,
                                            .num_kv_heads = 32,
                                            .max_positions = 32768,
                                            .head_dim = 128});
  qwen.qkv_bias = qwen.output_bias = config.boolean("attention_bias", false);
  qwen.qk_norm = QkNorm::kHeads;
  read_qwen_window(qwen, config);
  return qwen;
}

// Phi-3: q, k and v in one tensor, gate and up in another; part of each head may be rotated.
DecoderConfig parse_phi3(const JsonView& config) {
  DecoderConfig phi = read_common(config, {.vocab_size = 32064,
                                           .hidden_size = 3072,
                                           .intermediate_size = 8192,
                                           .num_layers = 32,
                                           .num_heads = 32,
                                           .num_kv_heads = 0,
                                           .max_positions = 4096,
                                           .norm_eps = 1e-5,
                                           .partial_rotary = true});
  phi.names.qkv = "qkv_proj";
  phi.names.gate_up = "gate_up_proj";
  read_window_of_all(phi, config, 0);
  return phi;
}

// What Gemma 2 and 3 share: (1 + weight) norms around both sublayers, scaled embeddings, a tanh
// gelu gate, a scale of its own for the scores, and layers that slide.
DecoderConfig read_gemma(const JsonView& config, const Defaults& defaults) {
  DecoderConfig gemma = read_common(config, defaults);
  gemma.norm = NormKind::kGemmaRms;
  gemma.names.attention_output_norm = "post_attention_layernorm";
  gemma.names.mlp_norm = "pre_feedforward_layernorm";
  gemma.names.mlp_output_norm = "post_feedforward_layernorm";
  gemma.qkv_bias = gemma.output_bias = config.boolean("attention_bias", false);
  gemma.attention_scale = 1 / std::sqrt(config.number_in("query_pre_attn_scalar", 256, 1e-6, 1e9));
  gemma.sliding_window = read_window(config, 4096);
  if (config.boolean("use_bidirectional_attention", false)) {
    config.fail("use_bidirectional_attention", "is not supported");
  }
  return gemma;
}

DecoderConfig parse_gemma2(const JsonView& config) {
  DecoderConfig gemma = read_gemma(config, {.vocab_size = 256000,
                                            .hidden_size = 2304,
                                            .intermediate_size = 9216,
                                            .num_layers = 26,
                                            .num_heads = 8,
                                            .num_kv_heads = 4,
                                            .max_positions = 8192,
                                            .head_dim = 256,
                                            .tied = true,
                                            .activation_key = "hidden_activation",
                                            .activation = "gelu_pytorch_tanh"});
  gemma.input_scale = std::sqrt(static_cast<double>(gemma.hidden_size));
  gemma.attention_soft_cap = read_cap(config, "attn_logit_softcapping", 50);
  gemma.logit_soft_cap = read_cap(config, "final_logit_softcapping", 30);
  read_layer_types(gemma, config, [](int layer) { return layer % 2 == 0; });
  return gemma;
}

// One rope for the layers that slide and one for the others: 5.x keeps both in rope_parameters by
// the type of layer, 4.x the first as rope_local_base_freq.
void read_gemma3_ropes(DecoderConfig& gemma, const JsonView& config, double theta) {
  constexpr double kSlidingTheta = 1e4;
  const std::optional<JsonView> both = config.object("rope_parameters");
  const auto rope_of = [&](const char* type, double fallback) -> std::optional<RopeConfig> {
    if (!both || !both->has(type)) return std::nullopt;
    return RopeConfig::parse_parameters(both->required_object(type), gemma.head_dim,
                                        gemma.max_positions, fallback);
  };
  if (const auto full = rope_of("full_attention", theta)) gemma.rope = *full;
  gemma.rope_of_sliding_layers = rope_of("sliding_attention", kSlidingTheta);
  if (!gemma.rope_of_sliding_layers) {
    RopeConfig plain;
    plain.rotary_dim = gemma.head_dim;
    plain.theta = config.number_in("rope_local_base_freq", kSlidingTheta, 1e-3, 1e18);
    gemma.rope_of_sliding_layers = plain;
  }
}

// The reference never applies Gemma 3's attn_logit_softcapping (modeling_gemma3.py).
DecoderConfig parse_gemma3(const JsonView& config) {
  constexpr double kTheta = 1e6;
  DecoderConfig gemma = read_gemma(config, {.vocab_size = 262208,
                                            .hidden_size = 2304,
                                            .intermediate_size = 9216,
                                            .num_layers = 26,
                                            .num_heads = 8,
                                            .num_kv_heads = 4,
                                            .max_positions = 131072,
                                            .head_dim = 256,
                                            .theta = kTheta,
                                            .tied = true,
                                            .activation_key = "hidden_activation",
                                            .activation = "gelu_pytorch_tanh"});
  gemma.qk_norm = QkNorm::kHeads;
  gemma.embedding_scale = std::sqrt(static_cast<double>(gemma.hidden_size));
  gemma.logit_soft_cap = read_cap(config, "final_logit_softcapping", 0);
  const int pattern = config.positive_int("sliding_window_pattern", 6);
  read_layer_types(gemma, config, [pattern](int layer) { return (layer + 1) % pattern != 0; });
  read_gemma3_ropes(gemma, config, kTheta);
  return gemma;
}

// OPT: learned positions (rows 0 and 1 of the table are not used), LayerNorm, biases, a plain MLP.
DecoderConfig parse_opt(const JsonView& config) {
  DecoderConfig opt;
  opt.vocab_size = config.positive_int("vocab_size", 50272);
  opt.hidden_size = config.positive_int("hidden_size", 768);
  opt.embedding_size = config.positive_int("word_embed_proj_dim", opt.hidden_size);
  opt.intermediate_size = config.positive_int("ffn_dim", 3072);
  opt.num_layers = config.integer_or("num_hidden_layers", 12, 1, kMaxLayers);
  opt.max_positions = config.positive_int("max_position_embeddings", 2048);
  opt.tie_word_embeddings = config.boolean("tie_word_embeddings", true);
  share_width_among_heads(opt, config, "num_attention_heads", 12, "hidden_size");
  opt.norm = NormKind::kLayer;
  opt.norm_eps = 1e-5;  // no field of the file
  opt.norm_first = config.boolean("do_layer_norm_before", true);
  opt.final_norm = opt.norm_first && !config.boolean("_remove_final_layer_norm", false);
  if (!config.boolean("layer_norm_elementwise_affine", true)) {
    config.fail("layer_norm_elementwise_affine", "norms without weights are not supported");
  }
  opt.qkv_bias = opt.output_bias = opt.mlp_bias = config.boolean("enable_bias", true);
  opt.gated_mlp = false;
  opt.activation = parse_activation(config.string("activation_function", "relu"),
                                    config.path_of("activation_function"));
  opt.positions = PositionKind::kLearned;
  opt.position_offset = 2;
  opt.names = {.stem = "decoder",
               .final_norm = "final_layer_norm",
               .attention_norm = "self_attn_layer_norm",
               .mlp_norm = "final_layer_norm",
               .output = "out_proj",
               .mlp = "",
               .up = "fc1",
               .down = "fc2"};
  return opt;
}

struct DecoderType {
  std::string_view name;
  DecoderConfig (*parse)(const JsonView&);
  std::optional<TokenId> eos;  // the class's default
  bool stands_alone = true;    // there are folders of that model_type without eyes
};
constexpr std::array kTypes = {
    DecoderType{"llama", parse_llama, 2},
    DecoderType{"mistral", parse_mistral, 2},
    DecoderType{"ministral3", parse_ministral3, 2},
    DecoderType{"qwen2", parse_qwen2, {}},
    DecoderType{"qwen2_vl_text", parse_qwen2_vl, {}, /*stands_alone=*/false},
    DecoderType{"qwen3", parse_qwen3, {}},
    DecoderType{"phi3", parse_phi3, 32000},
    DecoderType{"gemma2", parse_gemma2, 1},
    DecoderType{"gemma3_text", parse_gemma3, 1},
    DecoderType{"opt", parse_opt, 2},
    DecoderType{"mpt", parse_mpt, {}},
    DecoderType{"mosaic_gpt", parse_mosaic_gpt, {}, /*stands_alone=*/false},
    DecoderType{"gpt_neox", parse_gpt_neox, 2},
};

}  // namespace

void refuse_proportional(const RopeConfig& rope, const JsonView& config) {
  if (rope.kind != RopeConfig::Kind::kProportional) return;
  config.fail(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling",
              "rope type \"proportional\" is not supported where part of a head is rotated");
}

void share_width_among_heads(DecoderConfig& decoder, const JsonView& config, const char* key,
                             int fallback, const std::string& width) {
  decoder.num_heads = decoder.num_kv_heads = config.positive_int(key, fallback);
  if (decoder.hidden_size % decoder.num_heads != 0) config.fail(key, "does not divide " + width);
  decoder.head_dim = decoder.hidden_size / decoder.num_heads;
  if (decoder.head_dim > kMaxHeadDim) {
    config.fail(width, "makes heads wider than " + std::to_string(kMaxHeadDim));
  }
  decoder.attention_scale = 1 / std::sqrt(static_cast<double>(decoder.head_dim));
  decoder.slides.assign(decoder.num_layers, false);
}

DecoderConfig parse_decoder_config(const JsonView& config, const std::string& type) {
  std::string known;
  for (const DecoderType& row : kTypes) {
    if (row.name == type) {
      DecoderConfig decoder = row.parse(config);
      decoder.type = type;
      return decoder;
    }
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  config.fail("model_type",
              "decoder " + printable(type) + " is not supported (known: " + known + ")");
}

std::optional<TokenId> default_eos_id(std::string_view type) {
  const auto* row = std::find_if(kTypes.begin(), kTypes.end(),
                                 [&](const DecoderType& known) { return known.name == type; });
  return row == kTypes.end() ? std::nullopt : row->eos;
}

std::vector<std::string_view> decoder_types() {
  std::vector<std::string_view> names;
  for (const DecoderType& row : kTypes) {
    if (row.stands_alone) names.push_back(row.name);
  }
  return names;
}

}  // namespace saccade
