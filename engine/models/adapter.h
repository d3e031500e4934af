#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/layers/attention_prompts.h"
#include "engine/layers/linear.h"
#include "engine/models/decoder_config.h"
#include "engine/weights/weight_map.h"

namespace saccade {

inline constexpr std::string_view kPeftPrefix = "base_model.model.";  // before a module's name

// The attention of one decoder layer, as an adapter sees it.
struct AttentionParts {
  const DecoderConfig& config;
  Linear& qkv;
  Linear& output;
  AttentionPrompts& prompts;
};

// A PEFT folder: adapter_config.json and adapter_model.safetensors, whose tensors are named after
// the modules of the base model. Put onto the parts of a decoder one by one, at load.
class Adapter {
 public:
  // By adapter_config.json's peft_type: LORA (lora.h) or ADAPTION_PROMPT (adaption_prompt.h).
  // `renames`: the base family's. Throws LoadError naming file and field for what is neither or
  // needs what we do not have.
  static std::unique_ptr<Adapter> open(const std::filesystem::path& folder,
                                       const std::vector<Rename>& renames, at::ScalarType dtype,
                                       at::Device device);
  virtual ~Adapter() = default;

  // What the folder holds for these goes onto them under number `adapter`.
  virtual void apply_to(Linear& linear, int adapter) = 0;
  virtual void apply_to(const AttentionParts& attention, int adapter) = 0;

  // Throws LoadError naming what no part has taken; else lets go of the files.
  virtual void check_all_applied() = 0;
};

// The base model's names without PEFT's prefix, in the spelling of the model code.
std::vector<Rename> adapter_renames(const std::vector<Rename>& base);

}  // namespace saccade
