// LLaVA 1 and 1.5 (Liu et al. 2023; transformers' modeling_llava.py): a hidden state of CLIP
// (without its CLS row) or SigLIP -> Linear, gelu, Linear -> a decoder. Visual tokens stand
// where the template writes the placeholder.

#include <ATen/ATen.h>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/llava_parts.h"
#include "engine/models/pixtral.h"

namespace saccade {
namespace {

class Llava : public DecoderModel {
 public:
  Llava(const LlavaConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("language_model")("model"), root("language_model"))),
        image_size_(config.vision.image_size),
        tower_(config, root("vision_tower")),
        projector_(config, root("multi_modal_projector")) {}

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const at::Tensor pixels = stack_pixels(inputs, image_size_, image_size_);
    return join_parts(projector_(tower_.features(pixels)), inputs);
  }

 private:
  int image_size_;
  LlavaTower tower_;
  LlavaProjector projector_;
};

LlavaConfig parse_config(const ModelFolder& folder) { return LlavaConfig::parse(folder, {}); }

ModelInfo describe(const ModelFolder& folder) {
  if (has_pixtral_tower(folder)) return describe_pixtral(folder);
  const LlavaConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kAtPlaceholder;
  info.image_token = image_token_id(folder, 32000, config.text);
  info.max_images = 64;
  info.encoder_input = {config.vision.image_size, config.vision.image_size};
  info.image_tokens = [count = config.tokens_per_tile()](const MediaLayout&) { return count; };
  info.builtin_chat_template = kVicunaTemplate;
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  if (has_pixtral_tower(folder)) return build_pixtral(folder, root);
  return std::make_unique<Llava>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  if (has_pixtral_tower(folder)) return pixtral_summary(folder);
  const LlavaConfig config = parse_config(folder);
  return llava_summary(config, std::to_string(config.tokens_per_tile()) + " tokens per image");
}

}  // namespace

const ModelFamily& llava_family() {
  static const ModelFamily family = {"llava",  llava_renames(), llava_unread(),
                                     describe, build,           summary};
  return family;
}

}  // namespace saccade
