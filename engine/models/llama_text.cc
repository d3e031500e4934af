// LLaMA without eyes: config.json is the decoder's own.

#include <stdexcept>

#include "engine/models/family.h"
#include "engine/models/llama_model.h"

namespace saccade {
namespace {

class LlamaText : public LlamaModel {
 public:
  using LlamaModel::LlamaModel;

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>&) override {
    throw std::logic_error("a text model has no encoder");
  }
};

ModelInfo describe(const ModelFolder& folder) {
  return describe_decoder(folder, LlamaConfig::parse(folder.config()));
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  const LlamaConfig config = LlamaConfig::parse(folder.config());
  return std::make_unique<LlamaText>(LlamaDecoder(config, root("model"), root));
}

std::vector<std::string> summary(const ModelFolder& folder) {
  return {decoder_summary(LlamaConfig::parse(folder.config()))};
}

}  // namespace

const ModelFamily& llama_family() {
  static const ModelFamily family = {"llama",  {},    {"rotary_emb.inv_freq"},
                                     describe, build, summary};
  return family;
}

}  // namespace saccade
