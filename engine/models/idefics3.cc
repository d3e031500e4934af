// Idefics3 (Laurençon et al. 2024) and SmolVLM (Marafioti et al. 2025; transformers'
// modeling_idefics3.py, modeling_smolvlm.py): each tile of a picture through a SigLIP NaViT with
// its final norm -> pixel shuffle (scale x scale patches become one wide row) -> Linear -> a LLaMA
// decoder. Where a picture is cut, the prompt tells each tile's row and column. SmolVLM looks at
// frames of videos as at whole pictures; the prompt tells when each is shown.

#include <ATen/ATen.h>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/number_words.h"
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
  idefics.vision =
      VitConfig::navit(folder.section("vision_config"), defaults, folder.library_version());
  idefics.text = parse_backbone_config(folder, "llama");
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

  // All tiles of a step's pictures have the processor's one size and run as one batch; frames of
  // videos may have another.
  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    std::vector<at::Tensor> tokens;
    for (size_t first = 0; first < inputs.size();) {
      const int side = inputs[first]->media->height;
      std::vector<const EncoderInput*> alike;
      while (first < inputs.size() && inputs[first]->media->height == side) {
        alike.push_back(inputs[first++]);
      }
      for (at::Tensor& rows : encode_alike(alike, side)) tokens.push_back(std::move(rows));
    }
    return tokens;
  }

 private:
  std::vector<at::Tensor> encode_alike(const std::vector<const EncoderInput*>& inputs, int side) {
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

  Idefics3Config config_;
  Vit tower_;
  Linear projection_;
};

constexpr const char* kFake = "<fake_token_around_image>";

std::string repeated(const std::string& placeholder, int tokens) {
  std::string visual;
  for (int i = 0; i < tokens; ++i) visual += placeholder;
  return visual;
}

// What the processors put in place of `<image>`: each tile with its place, the whole picture last.
std::string picture_text(const MediaLayout& layout, int tokens, const std::string& placeholder) {
  const std::string fake = kFake, visual = repeated(placeholder, tokens);
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

std::string two_digits(int number) { return (number < 10 ? "0" : "") + std::to_string(number); }

// "0:01:05", as Python prints a timedelta of less than a day.
std::string clock_text(int seconds) {
  return std::to_string(seconds / 3600) + ":" + two_digits(seconds / 60 % 60) + ":" +
         two_digits(seconds % 60);
}

// What SmolVLM's processor puts in place of `<video>`.
std::string video_text(const MediaLayout& layout, int tokens, const std::string& placeholder) {
  const std::string frame = kFake + ("<global-img>" + repeated(placeholder, tokens)) + kFake;
  std::string text = "You are provided the following series of " + number_words(layout.parts) +
                     " frames from a " + clock_text(static_cast<int>(layout.seconds)) +
                     " [H:MM:SS] video.\n";
  for (const double time : layout.times) {
    const auto second = static_cast<int>(time);
    text += "\nFrame from " + two_digits(second / 60) + ":" + two_digits(second % 60) + ":" + frame;
  }
  return text + "\n\n";
}

// As transformers' SmolVLMProcessor: it has a template of its own for them.
void describe_videos(ModelInfo& info) {
  info.video_token = info.image_token;
  info.video_placeholder = "<video>";
  info.max_videos = 16;
  info.frames = {.spread = FrameRule::Spread::kEnds, .num_frames = 64, .fps = 1, .list_fps = 24};
  info.video_chat_template = info.builtin_chat_template;
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
    const int tokens = config.tokens_per_part(layout.part);
    return layout.kind == MediaKind::kVideo ? video_text(layout, tokens, placeholder)
                                            : picture_text(layout, tokens, placeholder);
  };
  // As the published checkpoints have it.
  info.builtin_chat_template =
      "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
      "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
      "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
      "{% elif line['type'] == 'image' %}{{ '<image>' }}"
      "{% elif line['type'] == 'video' %}{{ '<video>' }}{% endif %}{% endfor %}"
      "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";
  if (folder.model_type() == "smolvlm") describe_videos(info);
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
