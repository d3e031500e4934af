#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

#include "engine/weights/json.h"

namespace saccade {

// Rotary position embedding and its length extensions, as Hugging Face's modeling_rope_utils.py
// computes them. Both config dialects are read: rope_theta + rope_scaling{type | rope_type} (4.x)
// and rope_parameters{rope_theta, rope_type, …} (5.x).
struct RopeConfig {
  enum class Kind { kDefault, kLinear, kDynamic, kLlama3, kYarn, kLong, kProportional };
  Kind kind = Kind::kDefault;
  int rotary_dim = 0;     // dimensions of a head that are rotated, from the first on
  int max_positions = 0;  // config.json's max_position_embeddings
  double theta = 10000.0;
  double factor = 1.0;
  int original_max_positions = 0;  // llama3, yarn, longrope
  double low_freq_factor = 1.0;    // llama3
  double high_freq_factor = 4.0;
  double attention_factor = 1.0;  // yarn, longrope: scales cos and sin
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  bool truncate = true;
  // M-RoPE: how many of the frequencies, from the first on, turn by frame, row and column. All 0:
  // there is one position.
  std::array<int, 3> sections{};
  // longrope, [rotary_dim / 2]: divisors of the frequencies, within the original length and beyond.
  std::vector<double> short_factors;
  std::vector<double> long_factors;
  int num_turning = 0;  // proportional: the first frequencies turn, the others are 0

  // Keys depend on the length of the prompt they were computed in: beyond the trained length,
  // blocks of one prompt are wrong for another.
  bool depends_on_length() const { return kind == Kind::kDynamic || kind == Kind::kLong; }

  static RopeConfig parse(const JsonView& config, int rotary_dim, int max_positions,
                          double default_theta = 10000.0);
  // The same from a 5.x rope_parameters object alone.
  static RopeConfig parse_parameters(const JsonView& parameters, int rotary_dim, int max_positions,
                                     double default_theta);

 private:
  void read_sections(const JsonView& scaling);
  void read_scaling(const JsonView& scaling);  // all kinds but longrope
  void read_part(const JsonView& place);       // partial_rotary_factor of proportional rope
};

// One token's place in its sequence.
struct RopePosition {
  // What is rotated by: frame, row and column for visual tokens where a model tells these apart
  // (M-RoPE of Qwen2-VL), three times the same number elsewhere.
  std::array<int64_t, 3> axes;
  int64_t index;         // tokens before it
  int64_t computed_len;  // the sequence's length when its key was computed: dynamic rope
  int64_t total_len;     // the sequence's length now: longrope
};

class Rope {
 public:
  explicit Rope(const RopeConfig& config);

  // cos and sin for a step's tokens: [2, num_tokens, rotary_dim / 2] float32 on the device of
  // `axes` [num_tokens, 3], where the tokens' RopePosition::axes lie; on the CPU without it.
  at::Tensor tables(const std::vector<RopePosition>& tokens, const at::Tensor& axes) const;
  // True where a GPU makes the tables of `axes` alone.
  bool made_of_axes() const { return !config_.depends_on_length(); }

 private:
  at::Tensor host_tables(const std::vector<RopePosition>& tokens) const;
  at::Tensor device_tables(const at::Tensor& axes) const;
  const std::vector<float>& frequencies(const RopePosition& place) const;
  const std::vector<float>& dynamic_frequencies(int64_t length) const;

  RopeConfig config_;
  std::vector<float> inv_freq_;              // [rotary_dim / 2]
  std::vector<int> axis_of_;                 // [rotary_dim / 2] which position turns a frequency
  std::vector<float> long_freq_;             // longrope beyond the original length
  mutable std::vector<float> dynamic_freq_;  // for dynamic_length_, engine thread only
  mutable int64_t dynamic_length_ = -1;
  mutable at::Tensor device_freq_;  // inv_freq_ and axis_of_ on the device, from the first use on
  mutable at::Tensor device_axes_;
};

}  // namespace saccade
