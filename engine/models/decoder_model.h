#pragma once

#include <string>
#include <utility>

#include "engine/core/model_info.h"
#include "engine/models/decoder.h"
#include "engine/models/model_folder.h"
#include "engine/models/vlm.h"

namespace saccade {

// The decoder half of every family; a family adds encode().
class DecoderModel : public VisionLanguageModel {
 public:
  explicit DecoderModel(Decoder decoder) : decoder_(std::move(decoder)) {}

  CacheShape cache_shape() const override { return decoder_.cache_shape(); }
  bool prefix_cacheable() const override { return decoder_.prefix_cacheable(); }
  bool reads_layout_only() const override { return decoder_.reads_layout_only(); }
  at::Tensor embed(const at::Tensor& ids) override { return decoder_.embed(ids); }
  at::Tensor forward(at::Tensor h, const AttentionInput& input, KVCache& cache) override {
    return decoder_.forward(std::move(h), input, cache);
  }
  at::Tensor logits(const at::Tensor& h) override { return decoder_.logits(h); }
  void add_adapter(int number, Adapter& adapter) override { decoder_.add_adapter(number, adapter); }

 protected:
  Decoder decoder_;
};

// The decoder of a multimodal folder: text_config of the model_type it names, else of
// `default_type`, the reference class's own default. Throws LoadError for a type we do not have,
// and for a decoder whose embedding is not as wide as its layers: visual tokens would not fit.
DecoderConfig parse_text_config(const ModelFolder& folder, const std::string& default_type);

// The same where the reference class keeps of the decoder the layers alone, under a head of its
// own, which caps no logits (all but BLIP's).
DecoderConfig parse_backbone_config(const ModelFolder& folder, const std::string& default_type);

// The text half of a ModelInfo.
ModelInfo describe_decoder(const ModelFolder& folder, const DecoderConfig& config);

// config.json's placeholder id under either of its names, `fallback` when absent. Throws LoadError
// when the decoder's vocabulary does not hold it: a prompt with it would be refused.
int image_token_id(const ModelFolder& folder, int fallback, const DecoderConfig& text);

// The same for videos: video_token_index or video_token_id.
int video_token_id(const ModelFolder& folder, int fallback, const DecoderConfig& text);

std::string decoder_summary(const DecoderConfig& config);

}  // namespace saccade
