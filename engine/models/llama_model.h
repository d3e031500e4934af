#pragma once

#include <string>
#include <utility>

#include "engine/core/model_info.h"
#include "engine/models/llama.h"
#include "engine/models/model_folder.h"
#include "engine/models/vlm.h"

namespace saccade {

// The decoder half of every family whose text goes through a LLaMA decoder; a family adds encode().
class LlamaModel : public VisionLanguageModel {
 public:
  explicit LlamaModel(LlamaDecoder decoder) : decoder_(std::move(decoder)) {}

  CacheShape cache_shape() const override { return decoder_.cache_shape(); }
  bool prefix_cacheable() const override { return decoder_.prefix_cacheable(); }
  at::Tensor embed(const at::Tensor& ids) override { return decoder_.embed(ids); }
  at::Tensor forward(at::Tensor h, AttentionInput& input, KVCache& cache) override {
    return decoder_.forward(std::move(h), input, cache);
  }
  at::Tensor logits(const at::Tensor& h) override { return decoder_.logits(h); }

 protected:
  LlamaDecoder decoder_;
};

// A multimodal folder's decoder config. Throws LoadError when it is no LLaMA; `default_type` is the
// reference class's own default for a file that names none.
LlamaConfig parse_text_config(const ModelFolder& folder, const std::string& default_type);

// The text half of a ModelInfo.
ModelInfo describe_decoder(const ModelFolder& folder, const LlamaConfig& config);

// config.json's placeholder id under either of its names, `fallback` when absent. Throws LoadError
// when the decoder's vocabulary does not hold it: a prompt with it would be refused.
int image_token_id(const ModelFolder& folder, int fallback, const LlamaConfig& text);

std::string decoder_summary(const LlamaConfig& config);

}  // namespace saccade
