// MedVInT-TD (Zhang et al. 2023; xiaoman-zhang/PMC-VQA, MedVInT_TD/models/QA_model.py) as
// scripts/convert_medvint.py writes it: PMC-CLIP's ResNet up to its third stage -> a decoder of
// learned queries -> Linear, relu, Linear -> a LLaMA. Visual tokens stand before the whole prompt,
// BOS included.

#include <ATen/ATen.h>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/query_decoder.h"
#include "engine/models/resnet.h"

namespace saccade {
namespace {

struct MedvintConfig {
  ResNetConfig vision;
  QueryDecoderConfig queries;
  DecoderConfig text;
};

MedvintConfig parse_config(const ModelFolder& folder) {
  MedvintConfig medvint;
  medvint.vision = ResNetConfig::parse(folder.section("vision_config"));
  medvint.queries =
      QueryDecoderConfig::parse(folder.section("query_config"), medvint.vision.channels());
  medvint.text = parse_text_config(folder, "llama");
  return medvint;
}

class Medvint : public DecoderModel {
 public:
  Medvint(const MedvintConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("language_model")("model"), root("language_model"))),
        image_size_(config.vision.image_size),
        tower_(config.vision, root("vision_model")),
        queries_(config.queries, root("query_decoder")),
        linear1_(root("projector")("linear_1"), config.queries.hidden_size,
                 config.queries.hidden_size, Bias::kRequired),
        linear2_(root("projector")("linear_2"), config.queries.hidden_size, config.text.hidden_size,
                 Bias::kRequired) {}

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const at::Tensor grid = tower_(stack_pixels(inputs, image_size_, image_size_));
    const at::Tensor rows = queries_(grid.flatten(2).transpose(1, 2));
    return linear2_(at::relu(linear1_(rows))).unbind(0);
  }

 private:
  int image_size_;
  ResNet tower_;
  QueryDecoder queries_;
  Linear linear1_;
  Linear linear2_;
};

ModelInfo describe(const ModelFolder& folder) {
  const MedvintConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kBeforePrompt;
  info.image_token = 0;  // its embedding is never read, so any id does
  info.max_images = 1;
  info.encoder_input = {config.vision.image_size, config.vision.image_size};
  info.image_tokens = [count = config.queries.num_queries](const MediaLayout&) { return count; };
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<Medvint>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const MedvintConfig config = parse_config(folder);
  return {resnet_summary(config.vision),
          "connector: " + std::to_string(config.queries.num_queries) + " queries through " +
              std::to_string(config.queries.num_layers) + " layers, 2-layer MLP",
          decoder_summary(config.text)};
}

}  // namespace

const ModelFamily& medvint_family() {
  static const ModelFamily family = {"medvint", {},    {"rotary_emb.inv_freq"},
                                     describe,  build, summary};
  return family;
}

}  // namespace saccade
