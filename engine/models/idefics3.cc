// Idefics3 (Laurençon et al. 2024) and SmolVLM (Marafioti et al. 2025; transformers'
// modeling_idefics3.py, modeling_smolvlm.py): each tile of a picture through a SigLIP NaViT with
// its final norm -> pixel shuffle (scale x scale patches become one wide row) -> Linear -> a LLaMA
// decoder. Where a picture is cut, the prompt tells each tile's row and column.

#include <ATen/ATen.h>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/vit.h"

namespace saccade {
namespace {

struct Idefics3Config {
  VitConfig vision;
  DecoderConfig text;
  int scale = 2;  // patches of each axis that become one visual token

  // Visual tokens of one tile; 0 where the tile does not divide into them.
  int tokens_per_part(ImageSize part) const {
    const int unit = vision.patch_size * scale;
    const bool fits = part.height == part.width && part.height >= unit && part.height % unit == 0;
    return fits ? (part.height / unit) * (part.width / unit) : 0;
  }
};

Idefics3Config parse_config(const ModelFolder& folder) {
  const VitConfig defaults{.hidden_size = 1152,
                           .intermediate_size = 3072,
                           .num_layers = 12,
                           .num_heads = 16,
                           .image_size = 224,
                           .patch_size = 32,
                           .layer_norm_eps = 1e-6};
  Idefics3Config idefics;
  idefics.vision = VitConfig::navit(folder.section("vision_config"), defaults,
                                    folder.config().string("transformers_version", ""));
  idefics.text = parse_text_config(folder, "llama");
  idefics.scale = folder.config().positive_int("scale_factor", 2);
  return idefics;
}

// [n, side * side, d] -> [n, (side / scale)^2, d * scale^2]: the patches of a square of scale x
// scale side by side, row by row.
at::Tensor pixel_shuffle(const at::Tensor& x, int64_t side, int64_t scale) {
  const int64_t n = x.size(0), d = x.size(2), half = side / scale;
  return x.view({n, half, scale, half, scale, d})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({n, half * half, scale * scale * d});
}

class Idefics3 : public DecoderModel {
 public:
  Idefics3(const Idefics3Config& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("model")("text_model"), root)),
        config_(config),
        tower_(config.vision, root("model")("vision_model"), config.vision.num_layers,
               /*with_post_norm=*/true),
        projection_(root("model")("connector")("modality_projection")("proj"),
                    int64_t{config.vision.hidden_size} * config.scale * config.scale,
                    config.text.hidden_size, Bias::kNone) {}

  // All tiles of a step's pictures have the processor's one size and run as one batch.
  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const int side = inputs.front()->media->height;
    if (config_.tokens_per_part({side, side}) == 0) {
      throw std::invalid_argument("tiles of " + std::to_string(side) + " pixels do not divide");
    }
    const at::Tensor pixels = stack_pixels(inputs, side, side);
    const at::Tensor features =
        tower_.post_norm(tower_.hidden_states(pixels, {config_.vision.num_layers})[0]);
    const at::Tensor wide =
        pixel_shuffle(features, side / config_.vision.patch_size, config_.scale);
    return join_parts(projection_(wide), inputs);
  }

 private:
  Idefics3Config config_;
  Vit tower_;
  Linear projection_;
};

// What the processors put in place of `<image>`: each tile with its place, the whole picture last.
std::string picture_text(const MediaLayout& layout, int tokens, const std::string& placeholder) {
  const std::string fake = "<fake_token_around_image>";
  std::string visual;
  for (int i = 0; i < tokens; ++i) visual += placeholder;
  std::string text;
  for (int r = 1; r <= layout.rows; ++r) {
    for (int c = 1; c <= layout.columns; ++c) {
      text += fake + "<row_" + std::to_string(r) + "_col_" + std::to_string(c) + ">" + visual;
    }
    text += "\n";
  }
  if (layout.rows > 0) text += "\n";
  return text + fake + "<global-img>" + visual + fake;
}

ModelInfo describe(const ModelFolder& folder) {
  const Idefics3Config config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kAtPlaceholder;
  info.image_token = image_token_id(folder, 128257, config.text);
  info.max_images = 64;
  info.image_tokens = [config](const MediaLayout& layout) {
    return layout.parts * config.tokens_per_part(layout.part);
  };
  info.image_text = [config](const MediaLayout& layout, const std::string& placeholder) {
    return picture_text(layout, config.tokens_per_part(layout.part), placeholder);
  };
  // As the published checkpoints have it.
  info.builtin_chat_template =
      "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
      "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
      "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
      "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
      "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<Idefics3>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const Idefics3Config config = parse_config(folder);
  const int side = config.vision.image_size;
  return {vit_summary(config.vision),
          "connector: pixel shuffle by " + std::to_string(config.scale) + ", Linear, " +
              std::to_string(config.tokens_per_part({side, side})) + " tokens per tile",
          decoder_summary(config.text)};
}

ModelFamily family_of(std::string_view model_type) {
  return {model_type, {}, {"rotary_emb.inv_freq", "position_ids"}, describe, build, summary};
}

}  // namespace

const ModelFamily& idefics3_family() {
  static const ModelFamily family = family_of("idefics3");
  return family;
}

const ModelFamily& smolvlm_family() {
  static const ModelFamily family = family_of("smolvlm");
  return family;
}

}  // namespace saccade
