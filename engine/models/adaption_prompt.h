#pragma once

#include "engine/models/adapter.h"
#include "engine/weights/json.h"

namespace saccade {

// LLaMA-Adapter (Zhang et al. 2023) as PEFT saves it (AdaptionPromptConfig): a learned prompt and a
// gate for each of the last adapter_layers layers of a LLaMA or Mistral. The layer's own key and
// value projections make the prompt's keys and values.
class AdaptionPrompt : public Adapter {
 public:
  AdaptionPrompt(const JsonView& config, const std::filesystem::path& folder,
                 const std::vector<Rename>& renames, at::ScalarType dtype, at::Device device);

  void apply_to(Linear& linear, int adapter) override;
  void apply_to(const AttentionParts& attention, int adapter) override;
  void check_all_applied() override;

 private:
  [[noreturn]] void fail(const std::string& file, const std::string& reason) const;

  std::string name_;  // of the folder, for messages
  int length_ = 0;    // rows of each prompt
  int layers_ = 0;
  int applied_ = 0;
  WeightMap weights_;
};

}  // namespace saccade
