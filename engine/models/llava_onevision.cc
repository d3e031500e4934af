// LLaVA-OneVision (Li et al. 2024; transformers' modeling_llava_onevision.py): as LLaVA-NeXT over
// SigLIP's last hidden state and a Qwen2 decoder; a picture of many tiles is scaled down to the
// features of max_tiles. Of a video's frames each is scaled to half its sides behind the projector;
// one newline ends the video.

#include <ATen/ATen.h>

#include "engine/models/anyres.h"
#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/llava_parts.h"

namespace saccade {
namespace {

struct OnevisionConfig {
  LlavaConfig llava;
  AnyresPacking packing;

  int frame_side() const { return (packing.side + 1) / 2; }
};

// "anyres_max_9" -> 9.
int parse_max_tiles(const JsonView& config) {
  const std::string ratio = config.string("vision_aspect_ratio", "anyres_max_9");
  const std::string prefix = "anyres_max_";
  const std::string digits = ratio.starts_with(prefix) ? ratio.substr(prefix.size()) : "";
  const bool number = !digits.empty() && digits.size() <= 3 &&
                      digits.find_first_not_of("0123456789") == std::string::npos;
  if (!number || std::stoi(digits) == 0) {
    config.fail("vision_aspect_ratio", "expected \"anyres_max_N\", got " + printable(ratio));
  }
  return std::stoi(digits);
}

OnevisionConfig parse_config(const ModelFolder& folder) {
  const LlavaDefaults defaults{.tower = "siglip_vision_model",
                               .decoder = "qwen2",
                               .feature_layer = -1,
                               .select_strategy = "full"};
  OnevisionConfig config{LlavaConfig::parse(folder, defaults), {}};
  require_square_tiles(folder, config.llava);
  config.packing = {.side = config.llava.vision.patches_per_side(),
                    .max_tiles = parse_max_tiles(folder.config())};
  return config;
}

class LlavaOnevision : public DecoderModel {
 public:
  LlavaOnevision(const OnevisionConfig& config, const WeightScope& root)
      : DecoderModel(
            Decoder(config.llava.text, root("language_model")("model"), root("language_model"))),
        image_size_(config.llava.vision.image_size),
        packing_(config.packing),
        frame_side_(config.frame_side()),
        tower_(config.llava, root("vision_tower")),
        projector_(config.llava, root("multi_modal_projector")),
        newline_(root.tensor("image_newline", {config.llava.text.hidden_size})) {}

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const at::Tensor pixels = stack_pixels(inputs, image_size_, image_size_);
    const at::Tensor features = projector_(tower_.features(pixels));
    std::vector<at::Tensor> tokens;
    int64_t first = 0;
    for (const EncoderInput* input : inputs) {
      const MediaItem& item = *input->media;
      const at::Tensor own = features.narrow(0, first, item.frames);
      const bool video = item.kind == MediaKind::kVideo;
      tokens.push_back(video ? pack_frames(own) : packing_.pack(own, item, newline_));
      first += item.frames;
    }
    return tokens;
  }

 private:
  // [frames, side * side, H] -> [frames * frame_side^2 + 1, H]
  at::Tensor pack_frames(const at::Tensor& features) const {
    const int64_t frames = features.size(0), width = features.size(2);
    const at::Tensor grid =
        features.transpose(1, 2).reshape({frames, width, packing_.side, packing_.side});
    const at::Tensor small =
        at::upsample_bilinear2d(grid, {frame_side_, frame_side_}, /*align_corners=*/false);
    const at::Tensor rows = small.permute({0, 2, 3, 1}).reshape({-1, width});
    return at::cat({rows, newline_.view({1, width})});
  }

  int image_size_;
  AnyresPacking packing_;
  int frame_side_;
  LlavaTower tower_;
  LlavaProjector projector_;
  at::Tensor newline_;  // [H]
};

ModelInfo describe(const ModelFolder& folder) {
  const OnevisionConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.llava.text);
  info.placement = MediaPlacement::kAtPlaceholder;
  info.image_token = image_token_id(folder, 151646, config.llava.text);
  info.max_images = 64;
  info.video_token = video_token_id(folder, 151647, config.llava.text);
  info.max_videos = 16;
  info.frames = {.num_frames = 8};
  const int side = config.llava.vision.image_size;
  info.encoder_input = {side, side};
  info.image_tokens = [config](const MediaLayout& layout) {
    if (layout.kind == MediaKind::kImage) return config.packing.tokens(layout);
    return layout.parts * config.frame_side() * config.frame_side() + 1;
  };
  // As the published checkpoints have it: pictures and videos first, then the text.
  info.builtin_chat_template =
      "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
      "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>' }}{% endfor %}"
      "{% for part in message['content'] if part['type'] == 'video' %}{{ '<video>' }}{% endfor %}"
      "{% for part in message['content'] if part['type'] == 'text' %}{{ '\\n' + part['text'] }}"
      "{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<LlavaOnevision>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const OnevisionConfig config = parse_config(folder);
  return llava_summary(config.llava, std::to_string(config.llava.tokens_per_tile()) +
                                         " tokens per tile, scaled down beyond " +
                                         std::to_string(config.packing.max_tiles) + " tiles, " +
                                         std::to_string(config.frame_side() * config.frame_side()) +
                                         " tokens per video frame");
}

}  // namespace

const ModelFamily& llava_onevision_family() {
  static const ModelFamily family = {"llava_onevision", llava_renames(), llava_unread(),
                                     describe,          build,           summary};
  return family;
}

}  // namespace saccade
