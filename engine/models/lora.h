#pragma once

#include <string>
#include <vector>

#include "engine/models/adapter.h"
#include "engine/models/lora_modules.h"
#include "engine/weights/json.h"

namespace saccade {

// Low-rank updates of projections (LoRA: Hu et al. 2021; peft's LoraConfig).
class LoraAdapter : public Adapter {
 public:
  LoraAdapter(const JsonView& config, const std::filesystem::path& folder,
              const std::vector<Rename>& renames, at::ScalarType dtype, at::Device device);

  void apply_to(Linear& linear, int adapter) override;
  void apply_to(const AttentionParts&, int) override {}
  void check_all_applied() override;

 private:
  [[noreturn]] void fail(const std::string& tensor, const std::string& reason) const;
  double scale_of(const std::string& tensor, int64_t rank) const;
  // As adapter_config.json speaks of it: the file's name of the tensor without peft's own parts.
  std::string module_of(const std::string& tensor) const;

  std::string name_;  // of the folder, for messages
  double alpha_ = 0;
  int rank_ = 0;
  bool rank_stabilized_ = false;
  bool with_biases_ = false;
  ModulePattern ranks_;
  ModulePattern alphas_;
  TargetModules targets_;
  WeightMap weights_;
};

}  // namespace saccade
