// IDEFICS (Laurençon et al. 2023; transformers' models/idefics), an open Flamingo: a CLIP tower,
// all its rows without the last norm -> perceiver resampler (or none) -> gated cross-attention
// blocks between the layers of a LLaMA. The prompt holds one token for each picture; what follows
// looks at that picture until the next one. A picture's "visual tokens" are the keys and values of
// all those blocks: made once, read by every later step.

#include <ATen/ATen.h>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/gated_cross_attention.h"
#include "engine/models/library_release.h"
#include "engine/models/resampler.h"
#include "engine/models/vit.h"

namespace saccade {
namespace {

constexpr const char* kFake = "<fake_token_around_image>";
constexpr const char* kEndOfUtterance = "<end_of_utterance>";

struct IdeficsConfig {
  VitConfig vision;
  std::optional<ResamplerConfig> resampler;
  DecoderConfig text;
  GatedCrossConfig cross;
  int interval = 1;  // layers from one cross-attention block to the next; the first has one

  int rows() const { return resampler ? resampler->num_latents : vision.num_positions(); }
  int blocks() const { return text.num_layers / interval; }
};

// The decoder's fields stand in config.json itself. Of LLaMA's it has no grouped keys and no
// biases.
DecoderConfig parse_text(const ModelFolder& folder) {
  const JsonView config = folder.config();
  DecoderConfig text = parse_decoder_config(config, "llama");
  follow_release(folder.library_version(), text);
  text.type = "idefics";
  text.num_kv_heads = text.num_heads;
  text.qkv_bias = text.output_bias = text.mlp_bias = false;
  if (int64_t{text.head_dim} * text.num_heads != text.hidden_size) {
    config.fail("head_dim", "must be hidden_size / num_attention_heads");
  }
  text.additional_vocab_size = config.integer_or("additional_vocab_size", 0, 0, 1 << 20);
  text.vocab_size += text.additional_vocab_size;
  return text;
}

bool vector_gates(const JsonView& config) {
  const std::string type = config.string("alpha_type", "float");
  if (type != "float" && type != "vector") {
    config.fail("alpha_type", "expected \"float\" or \"vector\", got " + printable(type));
  }
  return type == "vector";
}

IdeficsConfig parse_config(const ModelFolder& folder) {
  const JsonView config = folder.config();
  IdeficsConfig idefics;
  idefics.vision = VitConfig::idefics(folder.section("vision_config"));
  idefics.text = parse_text(folder);
  if (config.boolean("use_resampler", false)) {
    idefics.resampler =
        ResamplerConfig::parse(folder.section("perceiver_config"), idefics.vision.hidden_size);
  }
  idefics.interval = config.positive_int("cross_layer_interval", 1);
  if (idefics.text.num_layers % idefics.interval != 0) {
    config.fail("cross_layer_interval", "does not divide num_hidden_layers");
  }
  idefics.cross = {.hidden_size = idefics.text.hidden_size,
                   .intermediate_size = idefics.text.intermediate_size,
                   .num_heads = idefics.text.num_heads,
                   .head_dim = idefics.text.head_dim,
                   .memory_size = idefics.vision.hidden_size,
                   .qk_norm = config.boolean("qk_layer_norms", false),
                   .vector_gates = vector_gates(config),
                   .norm_eps = idefics.text.norm_eps,
                   .activation = idefics.text.activation};
  return idefics;
}

class Idefics : public DecoderModel {
 public:
  Idefics(const IdeficsConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("model"), root)),
        tower_(config.vision, root("model")("vision_model"), config.vision.num_layers,
               /*with_post_norm=*/false) {
    if (config.resampler) {
      resampler_.emplace(*config.resampler, root("model")("perceiver_resampler"));
    }
    for (int i = 0; i < config.blocks(); ++i) {
      blocks_.push_back(std::make_shared<const GatedCrossAttention>(
          config.cross, root("model")("gated_cross_attn_layers")(i).quantizable(), i));
      decoder_.insert_before(i * config.interval, blocks_.back());
    }
  }

  // Of each picture, [rows, blocks * 2 * H]: keys and values of every block.
  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const int side = tower_.config().image_size;
    const at::Tensor pixels = stack_pixels(inputs, side, side);
    at::Tensor rows = tower_.hidden_states(pixels, {tower_.config().num_layers})[0];
    if (resampler_) rows = (*resampler_)(rows);
    return picture_memories(blocks_, rows);
  }

 private:
  Vit tower_;
  std::optional<Resampler> resampler_;
  std::vector<std::shared_ptr<const GatedCrossAttention>> blocks_;
};

// As the published instruction-tuned checkpoint is asked; those without its end token do without.
std::string chat_template(bool with_end_token) {
  const std::string end = with_end_token ? kEndOfUtterance : "";
  return "{% for message in messages %}{{ message['role'].capitalize() + ': ' }}"
         "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
         "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}" +
         end + "\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";
}

ModelInfo describe(const ModelFolder& folder) {
  const IdeficsConfig config = parse_config(folder);
  const int side = config.vision.image_size;
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kBesidePrompt;
  // The published checkpoints' ids are the second of the additional ones.
  const int published = config.text.vocab_size - config.text.additional_vocab_size + 1;
  info.image_token = folder.added_token_id("<image>").value_or(published);
  if (info.image_token >= info.vocab_size) {
    folder.config().fail("additional_vocab_size", "has no row for the token <image>");
  }
  info.max_images = 64;
  info.image_tokens = [rows = config.rows()](const MediaLayout&) { return rows; };
  info.image_text = [](const MediaLayout&, const std::string& placeholder) {
    return kFake + placeholder + kFake;
  };
  info.single_token = kFake;
  info.end_token_hides_pictures = true;
  info.encoder_row_cost = 2 * config.blocks();
  info.trims_around_pictures = true;
  info.bos_as_text = true;
  info.encoder_input = {side, side};
  info.builtin_chat_template = chat_template(folder.added_token_id(kEndOfUtterance).has_value());
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<Idefics>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const IdeficsConfig config = parse_config(folder);
  return {vit_summary(config.vision),
          "connector: " +
              (config.resampler
                   ? "resampler of " + std::to_string(config.resampler->num_layers) + " layers, "
                   : std::string()) +
              std::to_string(config.rows()) + " rows per picture for cross-attention in " +
              std::to_string(config.blocks()) + " blocks",
          decoder_summary(config.text)};
}

}  // namespace

const ModelFamily& idefics_family() {
  static const ModelFamily family = {
      "idefics",
      {},
      {"rotary_emb.inv_freq", "position_ids", "vision_model.post_layernorm.weight",
       "vision_model.post_layernorm.bias"},
      describe,
      build,
      summary};
  return family;
}

}  // namespace saccade
