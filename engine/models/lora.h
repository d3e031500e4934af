#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/layers/linear.h"
#include "engine/weights/weight_map.h"

namespace saccade {

// A PEFT LoRA folder (Hu et al. 2021; peft's LoraConfig): adapter_config.json and
// adapter_model.safetensors, whose tensors are named after the modules of the base model.
class LoraAdapter {
 public:
  // `renames`: the base family's. Throws LoadError naming file and field for what is no LoRA or
  // needs what we do not have.
  LoraAdapter(const std::filesystem::path& folder, const std::vector<Rename>& renames,
              at::ScalarType dtype, at::Device device);

  // Puts the updates of this folder's modules onto `linear`, under number `adapter`.
  void apply_to(Linear& linear, int adapter);

  // Throws LoadError naming the first tensor that no module has taken.
  void check_all_applied() const;

 private:
  [[noreturn]] void fail(const std::string& tensor, const std::string& reason) const;
  double scale_of(const std::string& module, int64_t rank) const;

  std::string name_;  // of the folder, for messages
  double alpha_ = 0;
  int rank_ = 0;
  bool rank_stabilized_ = false;
  bool with_biases_ = false;
  std::vector<std::pair<std::string, double>> ranks_;   // by the end of a module's name
  std::vector<std::pair<std::string, double>> alphas_;  // by the end of a module's name
  WeightMap weights_;
};

}  // namespace saccade
