#include "engine/models/decoder_model.h"

#include <algorithm>
#include <optional>

#include "engine/models/decoder_parsers.h"
#include "engine/models/library_release.h"

namespace saccade {
namespace {

// The id under either of its names, `fallback` when absent.
int media_token_id(const ModelFolder& folder, const char* old_name, const char* new_name,
                   int fallback, const DecoderConfig& text) {
  const JsonView config = folder.config();
  const bool old = config.has(old_name) || (config.is_null(old_name) && !config.has(new_name));
  const char* key = old ? old_name : new_name;
  const int id = config.integer_or(key, fallback, 0);
  if (id >= text.vocab_size) {
    config.fail(key, std::to_string(id) + " is beyond the decoder's vocab_size of " +
                         std::to_string(text.vocab_size));
  }
  return id;
}

// The class's end id counts where no generation_config.json keeps the defaults out and the
// decoder's part of config.json does not say null (GenerationConfig.from_model_config).
std::vector<TokenId> end_ids(const ModelFolder& folder, const DecoderConfig& decoder) {
  std::vector<TokenId> named = folder.eos_ids();
  const JsonView part = folder.config().object("text_config").value_or(folder.config());
  if (!named.empty() || part.is_null("eos_token_id")) return named;
  if (folder.has_generation_config()) return {};
  const std::optional<TokenId> of_class = default_eos_id(decoder.type);
  return of_class ? std::vector<TokenId>{*of_class} : std::vector<TokenId>{};
}

}  // namespace

DecoderConfig parse_text_config(const ModelFolder& folder, const std::string& default_type) {
  const JsonView text = folder.section("text_config");
  DecoderConfig config = parse_decoder_config(text, text.string("model_type", default_type));
  follow_release(folder.library_version(), config);
  if (config.embedding_size != config.hidden_size) {
    text.fail("word_embed_proj_dim",
              "a decoder that reads visual tokens needs embeddings of hidden_size");
  }
  return config;
}

DecoderConfig parse_backbone_config(const ModelFolder& folder, const std::string& default_type) {
  DecoderConfig config = parse_text_config(folder, default_type);
  config.logit_soft_cap = 0;
  return config;
}

ModelInfo describe_decoder(const ModelFolder& folder, const DecoderConfig& config) {
  ModelInfo info;
  info.family = folder.model_type();
  info.vocab_size = config.vocab_size;
  info.max_model_len = config.max_positions;
  const bool stretches = config.rope.kind == RopeConfig::Kind::kLinear ||
                         config.rope.kind == RopeConfig::Kind::kDynamic;
  if (stretches && config.rope.factor > 1) {
    info.max_model_len = static_cast<int>(
        std::min<double>(config.max_positions * config.rope.factor, JsonView::kMaxInt));
  }
  info.eos_ids = end_ids(folder, config);
  return info;
}

int image_token_id(const ModelFolder& folder, int fallback, const DecoderConfig& text) {
  return media_token_id(folder, "image_token_index", "image_token_id", fallback, text);
}

int video_token_id(const ModelFolder& folder, int fallback, const DecoderConfig& text) {
  return media_token_id(folder, "video_token_index", "video_token_id", fallback, text);
}

std::string decoder_summary(const DecoderConfig& c) {
  const auto sliding = std::count(c.slides.begin(), c.slides.end(), true);
  return "decoder: " + c.type + ", " + std::to_string(c.num_layers) + " layers, width " +
         std::to_string(c.hidden_size) + ", " + std::to_string(c.num_heads) + " heads (" +
         std::to_string(c.num_kv_heads) + " kv) of " + std::to_string(c.head_dim) +
         ", vocabulary " + std::to_string(c.vocab_size) + ", " + std::to_string(c.max_positions) +
         " positions" +
         (sliding > 0 ? ", " + std::to_string(sliding) + " layers with a window of " +
                            std::to_string(c.sliding_window)
                      : "") +
         (c.tie_word_embeddings ? ", tied head" : "");
}

}  // namespace saccade
