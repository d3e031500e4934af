// MiniGPT-v2 (Chen et al. 2023; Vision-CAIR/MiniGPT-4, models/minigpt_v2.py) as
// scripts/convert_minigpt_v2.py writes it: BLIP's EVA tower without its class token -> each few
// neighbouring patches side by side -> Linear -> a decoder.

#include <ATen/ATen.h>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/vit.h"

namespace saccade {
namespace {

struct MiniGptConfig {
  VitConfig vision;
  DecoderConfig text;
  int patches_per_token = 4;

  int tokens() const { return (vision.num_positions() - 1) / patches_per_token; }
};

MiniGptConfig parse_config(const ModelFolder& folder) {
  const JsonView config = folder.config();
  MiniGptConfig minigpt;
  minigpt.vision = VitConfig::blip(folder.section("vision_config"));
  minigpt.text = parse_text_config(folder, "llama");
  minigpt.patches_per_token = config.positive_int("patches_per_token", 4);
  if (minigpt.tokens() * minigpt.patches_per_token != minigpt.vision.num_positions() - 1) {
    config.fail("patches_per_token", "does not divide the tower's patches");
  }
  return minigpt;
}

class MiniGpt : public DecoderModel {
 public:
  MiniGpt(const MiniGptConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("language_model")("model"), root("language_model"))),
        config_(config),
        tower_(config.vision, root("vision_model"), config.vision.num_layers,
               /*with_post_norm=*/true),
        projector_(root("projector"), int64_t{config.patches_per_token} * config.vision.hidden_size,
                   config.text.hidden_size, Bias::kRequired) {}

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const int side = config_.vision.image_size;
    const at::Tensor pixels = stack_pixels(inputs, side, side);
    const at::Tensor rows =
        tower_.post_norm(tower_.hidden_states(pixels, {config_.vision.num_layers})[0]);
    const at::Tensor patches = rows.narrow(1, 1, rows.size(1) - 1);  // [n, patches, D]
    return projector_(patches.reshape({rows.size(0), config_.tokens(), -1})).unbind(0);
  }

 private:
  MiniGptConfig config_;
  Vit tower_;
  Linear projector_;
};

ModelInfo describe(const ModelFolder& folder) {
  const MiniGptConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kAtPlaceholder;
  info.image_token = image_token_id(folder, 0, config.text);
  info.max_images = 64;
  info.encoder_input = {config.vision.image_size, config.vision.image_size};
  info.image_tokens = [count = config.tokens()](const MediaLayout&) { return count; };
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<MiniGpt>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const MiniGptConfig config = parse_config(folder);
  return {vit_summary(config.vision),
          "connector: linear on " + std::to_string(config.patches_per_token) + " patches, " +
              std::to_string(config.tokens()) + " tokens per image",
          decoder_summary(config.text)};
}

}  // namespace

const ModelFamily& minigpt_v2_family() {
  static const ModelFamily family = {"minigpt_v2", {},    {"rotary_emb.inv_freq"},
                                     describe,     build, summary};
  return family;
}

}  // namespace saccade
