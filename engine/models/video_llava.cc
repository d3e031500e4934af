// Video-LLaVA (Lin et al. 2023; transformers' modeling_video_llava.py): pictures go through one
// CLIP tower (LanguageBind's image half), frames of videos through another; one projector serves
// both. Pictures lose their class token as vision_feature_select_strategy says, frames always keep
// it.

#include <ATen/ATen.h>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/llava_parts.h"

namespace saccade {
namespace {

LlavaConfig parse_config(const ModelFolder& folder) { return LlavaConfig::parse(folder, {}); }

class VideoLlava : public DecoderModel {
 public:
  VideoLlava(const LlavaConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("language_model")("model"), root("language_model"))),
        image_size_(config.vision.image_size),
        image_tower_(config, root("image_tower")),
        video_tower_(config, root("video_tower")),
        projector_(config, root("multi_modal_projector")) {}

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    std::vector<at::Tensor> tokens;
    for (const EncoderInput* input : inputs) {
      const at::Tensor pixels = stack_pixels({input}, image_size_, image_size_);
      const bool video = input->media->kind == MediaKind::kVideo;
      const at::Tensor features = video ? video_tower_.features(pixels, /*drop_first_row=*/false)
                                        : image_tower_.features(pixels);
      tokens.push_back(projector_(features).flatten(0, 1));
    }
    return tokens;
  }

 private:
  int image_size_;
  LlavaTower image_tower_;
  LlavaTower video_tower_;
  LlavaProjector projector_;
};

ModelInfo describe(const ModelFolder& folder) {
  const LlavaConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kAtPlaceholder;
  info.image_token = image_token_id(folder, 32000, config.text);
  info.max_images = 64;
  info.video_token = video_token_id(folder, 32001, config.text);
  info.max_videos = 16;
  info.frames = {.num_frames = 8};
  info.encoder_input = {config.vision.image_size, config.vision.image_size};
  info.image_tokens = [config](const MediaLayout& layout) {
    return layout.kind == MediaKind::kImage ? config.tokens_per_tile()
                                            : layout.parts * config.vision.num_positions();
  };
  info.builtin_chat_template = kVicunaTemplate;
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<VideoLlava>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const LlavaConfig config = parse_config(folder);
  return llava_summary(config, std::to_string(config.tokens_per_tile()) + " tokens per image, " +
                                   std::to_string(config.vision.num_positions()) +
                                   " per video frame; a tower for each");
}

// As for vision_tower, for two towers.
std::vector<Rename> renames() {
  std::vector<Rename> renames = llava_renames();
  for (const std::string tower : {"image_tower.", "video_tower."}) {
    renames.push_back({"model." + tower + "vision_model.", tower});
    renames.push_back({"model." + tower, tower});
    renames.push_back({tower + "vision_model.", tower});
  }
  return renames;
}

std::vector<std::string> unread() {
  std::vector<std::string> unread = llava_unread();
  for (const std::string tower : {"image_tower.", "video_tower."}) {
    for (const char* part : {"post_layernorm.", "encoder.layers.", "head."}) {
      unread.push_back(tower + part);
    }
  }
  return unread;
}

}  // namespace

const ModelFamily& video_llava_family() {
  static const ModelFamily family = {"video_llava", renames(), unread(), describe, build, summary};
  return family;
}

}  // namespace saccade
