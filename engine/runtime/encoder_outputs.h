#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/core/batch.h"
#include "engine/models/vlm.h"

namespace saccade {

// The memory behind the scheduler's encoder cache: what the encoder has made of pictures, and what
// its tower has where another instruction will want that. Policy is the scheduler's.
class EncoderOutputs {
 public:
  struct Report {
    std::vector<double> seconds;        // [encode]
    std::vector<std::string> failures;  // why each item that could not be encoded could not
  };

  // Drops, then makes what the batch says. Tasks of one step run together; when that fails, one by
  // one, so that only those who splice a bad one fail: they find nothing.
  Report update(const Batch& batch, VisionLanguageModel& model);

  // Visual tokens [len, H] (or what layers look at, [len, width]); null: not there.
  const at::Tensor* find(const ContentHash& key) const;

 private:
  void run(std::span<const EncodeTask> tasks, VisionLanguageModel& model);
  std::vector<at::Tensor> towers(std::span<const EncodeTask> tasks, VisionLanguageModel& model);

  std::unordered_map<ContentHash, at::Tensor> outputs_;  // by EncoderInput::key
  std::unordered_map<ContentHash, at::Tensor> towers_;   // by MediaItem::hash
};

}  // namespace saccade
