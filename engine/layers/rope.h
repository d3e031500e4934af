#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "engine/weights/json.h"

namespace saccade {

// Rotary position embedding and its length extensions, as Hugging Face's modeling_rope_utils.py
// computes them. Both config dialects are read: rope_theta + rope_scaling{type | rope_type} (4.x)
// and rope_parameters{rope_theta, rope_type, …} (5.x).
struct RopeConfig {
  enum class Kind { kDefault, kLinear, kDynamic, kLlama3, kYarn };
  Kind kind = Kind::kDefault;
  int head_dim = 0;
  int max_positions = 0;  // config.json's max_position_embeddings
  double theta = 10000.0;
  double factor = 1.0;
  int original_max_positions = 0;  // llama3, yarn
  double low_freq_factor = 1.0;    // llama3
  double high_freq_factor = 4.0;
  double attention_factor = 1.0;  // yarn: scales cos and sin
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  bool truncate = true;

  static RopeConfig parse(const JsonView& config, int head_dim, int max_positions);
};

// One token's place: its position, and the length that decides a dynamic rope's base.
struct RopePosition {
  int64_t position;
  int64_t sequence_length;
};

class Rope {
 public:
  explicit Rope(const RopeConfig& config);

  // cos and sin for a step's tokens: [2, num_tokens, head_dim / 2] float32 on the CPU.
  at::Tensor tables(const std::vector<RopePosition>& tokens) const;

  // A dynamic rope's keys depend on the length of the prompt they were computed in: beyond the
  // trained length, blocks of one prompt are wrong for another.
  bool depends_on_length() const { return config_.kind == RopeConfig::Kind::kDynamic; }

 private:
  const std::vector<float>& frequencies(int64_t sequence_length) const;

  RopeConfig config_;
  std::vector<float> inv_freq_;              // [head_dim / 2]
  mutable std::vector<float> dynamic_freq_;  // for dynamic_length_, engine thread only
  mutable int64_t dynamic_length_ = -1;
};

}  // namespace saccade
