// MPT (MosaicML 2023): ALiBi instead of positions, q, k and v in one tensor, LayerNorms without
// bias, a plain MLP, a tied head. In two dialects: the reference library's MptForCausalLM, and
// MosaicGPT, the code that its predecessors were published with (mosaicml/llm-foundry before 0.1,
// models/mosaic_gpt; OpenFlamingo's 3B stands on one of them).

#include <cmath>
#include <string>

#include "engine/layers/alibi.h"
#include "engine/models/decoder_parsers.h"

namespace saccade {
namespace {

constexpr double kMptBiasMax = 8;

// What both dialects call alike.
DecoderConfig read_shared(const JsonView& config, int vocab_size) {
  DecoderConfig mpt;
  mpt.vocab_size = config.positive_int("vocab_size", vocab_size);
  mpt.hidden_size = mpt.embedding_size = config.positive_int("d_model", 2048);
  mpt.num_layers = config.integer_or("n_layers", 24, 1, kMaxLayers);
  mpt.max_positions = config.positive_int("max_seq_len", 2048);
  share_width_among_heads(mpt, config, "n_heads", 16, "d_model");
  mpt.positions = PositionKind::kAlibi;
  mpt.tie_word_embeddings = true;
  mpt.norm = NormKind::kLayer;
  mpt.norm_bias = false;
  mpt.gated_mlp = false;
  mpt.activation = Activation::kGelu;
  mpt.names = {.backbone = "transformer",
               .embedding = "wte",
               .layers = "blocks",
               .attention = "attn",
               .qkv = "Wqkv",
               .query_norm = "q_ln",
               .key_norm = "k_ln",
               .output = "out_proj"};
  return mpt;
}

void read_mlp_width(DecoderConfig& mpt, const JsonView& config, const char* ratio_key) {
  const int64_t width = int64_t{config.positive_int(ratio_key, 4)} * mpt.hidden_size;
  if (width > JsonView::kMaxInt) config.fail(ratio_key, "makes the MLP too wide");
  mpt.intermediate_size = static_cast<int>(width);
}

void read_softmax_scale(DecoderConfig& mpt, const JsonView& attention) {
  mpt.attention_scale = attention.number_in("softmax_scale", mpt.attention_scale, 1e-9, 1e9);
}

// 0: no clipping.
double read_qkv_clip(const JsonView& attention, const char* key) {
  return attention.number_in(key, 0, 0, 1e9);
}

void refuse_unless(const JsonView& config, const char* key, bool expected) {
  if (config.boolean(key, expected) == expected) return;
  config.fail(key, std::string(expected ? "false" : "true") +
                       " is not supported: transformers' "
                       "MPT computes as if it were " +
                       (expected ? "true" : "false"));
}

// Fields that the reference reads over: a file that sets them means another model than the one it
// computes.
void refuse_ignored(const JsonView& config, const JsonView& attention) {
  constexpr int kWidening = 4;
  const std::string reason = " is not supported: transformers' MPT computes with ";
  if (config.positive_int("expansion_ratio", kWidening) != kWidening) {
    config.fail("expansion_ratio", "other than 4" + reason + "4");
  }
  if (config.has("logit_scale")) config.fail("logit_scale", "a scale" + reason + "none");
  refuse_unless(config, "no_bias", true);
  refuse_unless(attention, "alibi", true);
  refuse_unless(attention, "qk_ln", false);
  refuse_unless(attention, "prefix_lm", false);
  if (attention.number("alibi_bias_max", kMptBiasMax) != kMptBiasMax) {
    attention.fail("alibi_bias_max", "other than 8" + reason + "8");
  }
  if (const std::string type = attention.string("attn_type", "multihead_attention");
      type != "multihead_attention") {
    attention.fail("attn_type", printable(type) + reason + "as many key heads as heads");
  }
  if (const std::string type = config.string("norm_type", "layernorm");
      type != "layernorm" && type != "low_precision_layernorm") {
    config.fail("norm_type", printable(type) + reason + "LayerNorm");
  }
}

double read_logit_scale(const JsonView& config, int width) {
  const Json* scale = config.find("logit_scale");
  if (scale == nullptr) return 1;
  if (scale->string() == nullptr) return config.number_in("logit_scale", 1, -1e9, 1e9);
  if (*scale->string() != "inv_sqrt_d_model") {
    config.fail("logit_scale",
                "expected a number or \"inv_sqrt_d_model\", got " + printable(*scale->string()));
  }
  return 1 / std::sqrt(static_cast<double>(width));
}

}  // namespace

DecoderConfig parse_mpt(const JsonView& config) {
  DecoderConfig mpt = read_shared(config, 50368);
  const std::optional<JsonView> own = config.object("attn_config");
  const Json none{Json::Object{}};
  const JsonView attention = own ? *own : JsonView(none, config.path_of("attn_config"));
  refuse_ignored(config, attention);
  read_mlp_width(mpt, config, "expansion_ratio");
  read_softmax_scale(mpt, attention);
  mpt.qkv_clip = read_qkv_clip(attention, "clip_qkv");
  mpt.alibi_slopes = alibi_slopes(mpt.num_heads, kMptBiasMax);
  mpt.norm_eps = config.number_in("layer_norm_epsilon", 1e-5, 0, 1);
  mpt.tie_word_embeddings = config.boolean("tie_word_embeddings", true);
  mpt.names.final_norm = "norm_f";
  mpt.names.attention_norm = "norm_1";
  mpt.names.mlp_norm = "norm_2";
  mpt.names.mlp = "ffn";
  return mpt;
}

DecoderConfig parse_mosaic_gpt(const JsonView& config) {
  DecoderConfig mpt = read_shared(config, 50368);
  if (!config.boolean("alibi", false)) {
    config.fail("alibi", "learned positions are not supported");
  }
  if (config.boolean("prefix_lm", false)) config.fail("prefix_lm", "is not supported");
  if ((mpt.num_heads & (mpt.num_heads - 1)) != 0) {
    config.fail("n_heads", "is no power of two: releases of that code disagree about the slopes");
  }
  mpt.alibi_slopes =
      alibi_slopes(mpt.num_heads, config.number_in("alibi_bias_max", kMptBiasMax, 1e-3, 1e3));
  read_mlp_width(mpt, config, "mlp_ratio");
  read_softmax_scale(mpt, config);
  mpt.qkv_clip = read_qkv_clip(config, "attn_clip_qkv");
  if (config.boolean("attn_qk_ln", false)) mpt.qk_norm = QkNorm::kWhole;
  mpt.norm_eps = kTorchNormEps;
  mpt.norm_bias = !config.boolean("no_bias", false);
  mpt.qkv_bias = mpt.output_bias = mpt.mlp_bias = mpt.norm_bias;
  mpt.logit_scale = read_logit_scale(config, mpt.hidden_size);
  mpt.names.final_norm = "ln_f";
  mpt.names.attention_norm = "ln_1";
  mpt.names.mlp_norm = "ln_2";
  mpt.names.up = "mlp_up";
  mpt.names.down = "mlp_down";
  return mpt;
}

}  // namespace saccade
