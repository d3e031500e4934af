// Decoders without eyes: config.json is the decoder's own.

#include <stdexcept>

#include "engine/models/decoder_model.h"
#include "engine/models/family.h"
#include "engine/models/library_release.h"

namespace saccade {
namespace {

class TextModel : public DecoderModel {
 public:
  using DecoderModel::DecoderModel;

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>&) override {
    throw std::logic_error("a text model has no encoder");
  }
};

DecoderConfig parse_config(const ModelFolder& folder) {
  DecoderConfig config = parse_decoder_config(folder.config(), folder.model_type());
  follow_release(folder.library_version(), config);
  return config;
}

ModelInfo describe(const ModelFolder& folder) {
  const DecoderConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config);
  // The reference's Phi3ForCausalLM does so (prepare_inputs_for_generation). In the other decoders,
  // and where Phi-3 stands behind a tower, the keys of the short factors stay.
  if (config.rope.kind == RopeConfig::Kind::kLong && config.type == "phi3") {
    info.recompute_beyond = config.rope.original_max_positions;
  }
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<TextModel>(Decoder(parse_config(folder), root));
}

// What older releases of the library saved beside the weights.
std::vector<std::string> buffers() {
  return {"rotary_emb.inv_freq", "attention.bias", "attention.masked_bias"};
}

std::vector<std::string> summary(const ModelFolder& folder) {
  return {decoder_summary(parse_config(folder))};
}

}  // namespace

const std::vector<ModelFamily>& text_families() {
  static const std::vector<ModelFamily> families = [] {
    std::vector<ModelFamily> rows;
    for (const std::string_view type : decoder_types()) {
      rows.push_back({type, {}, buffers(), describe, build, summary});
    }
    return rows;
  }();
  return families;
}

}  // namespace saccade
