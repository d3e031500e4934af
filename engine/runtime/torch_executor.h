#pragma once

#include <memory>
#include <vector>

#include "engine/core/model_executor.h"
#include "engine/models/vlm.h"
#include "engine/runtime/decode_graphs.h"
#include "engine/runtime/device.h"
#include "engine/runtime/encoder_outputs.h"
#include "engine/runtime/kv_cache.h"
#include "engine/runtime/sampler.h"

namespace saccade {

// Batch -> tensors -> StepOutput. Owns the model, the KV pool and the encoder outputs.
class TorchExecutor : public ModelExecutor {
 public:
  struct Options {
    Placement placement;
    at::ScalarType cache_dtype = at::kFloat;  // make_kv_cache's
    int num_blocks = 0;
    int block_size = 0;
    int num_threads = 0;  // 0: libtorch's own choice
    std::vector<TokenId> eos_ids;
    int answer_shift = 0;    // KeyRules
    int max_graph_rows = 0;  // DecodeGraphs; 0: none
  };

  TorchExecutor(std::unique_ptr<VisionLanguageModel> model, Options options);

  StepOutput execute(const Batch& batch) override;
  const DecodeGraphs& graphs() const { return graphs_; }

 private:
  AttentionInput layout(const Batch& batch) const;
  std::vector<int32_t> token_ids(const Batch& batch) const;
  void splice(const Batch& batch, at::Tensor& h, AttentionInput& input, StepOutput& output) const;
  bool splice_span(const BatchEntry& entry, const MediaSpan& span, int64_t first_row, at::Tensor& h,
                   AttentionInput& input) const;
  at::Tensor head(const at::Tensor& rows) const;
  void sample(const Batch& batch, const at::Tensor& h, StepOutput& output);
  void choose(const Batch& batch, const at::Tensor& logits, const std::vector<size_t>& owners,
              StepOutput& output);
  bool take_best(const Batch& batch, const at::Tensor& logits, const std::vector<size_t>& owners,
                 StepOutput& output) const;
  std::vector<SampledToken> sample_entry(const BatchEntry& entry, const at::Tensor& logits);
  void describe_prompts(const Batch& batch, const at::Tensor& h, StepOutput& output);
  std::vector<PromptLogprob> score(const BatchEntry& entry, const at::Tensor& rows);

  std::unique_ptr<VisionLanguageModel> model_;
  Options options_;
  KVCache cache_;
  DecodeGraphs graphs_;
  EncoderOutputs encoded_;
  Sampler sampler_;
  bool thread_ready_ = false;
};

}  // namespace saccade
