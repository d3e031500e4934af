#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <vector>

#include "engine/layers/activation.h"
#include "engine/layers/linear.h"
#include "engine/layers/norm.h"
#include "engine/models/decoder.h"

namespace saccade {

struct GatedCrossConfig {
  int hidden_size = 0;
  int64_t intermediate_size = 0;
  int num_heads = 0;
  int head_dim = 0;
  int memory_size = 0;  // width of the picture's rows
  bool qk_norm = false;
  bool vector_gates = false;  // one gate for each channel instead of one number
  NormKind norm = NormKind::kRms;
  double norm_eps = 0;
  bool gated_mlp = true;  // down(act(gate x) * up x), else down(act(up x)); no biases
  Activation activation = Activation::kSilu;

  int64_t inner() const { return int64_t{num_heads} * head_dim; }
};

// A block between two layers of a frozen decoder (Flamingo: Alayrac et al. 2022; IDEFICS: Laurençon
// et al. 2023, transformers' modeling_idefics.py; OpenFlamingo: Awadalla et al. 2023, helpers.py):
// h += tanh(a) attention(norm(h), picture), then h += tanh(b) mlp(norm(h)). Tokens that look at no
// picture skip the first half alone. Neither queries nor keys know positions.
class GatedCrossAttention : public DecoderInsert {
 public:
  // The `index`-th of the decoder's blocks of this kind.
  GatedCrossAttention(const GatedCrossConfig& config, const WeightScope& scope, int index);

  // This block's keys and values of pictures: [n, rows, memory_size] -> [n, rows, 2 * inner].
  at::Tensor memory(const at::Tensor& pictures) const;

  // h [T, H]. The memories of the step's runs are those of all blocks side by side:
  // [rows, blocks * 2 * inner].
  at::Tensor operator()(const at::Tensor& h, const AttentionInput& input) const override;

 private:
  at::Tensor attend(const at::Tensor& x, const MemoryRuns& runs) const;
  at::Tensor mlp(const at::Tensor& x) const;

  GatedCrossConfig config_;
  int64_t column_;  // of the memories: the first of this block's
  Norm attention_norm_;
  Linear query_;
  Linear key_value_;  // rows k | v
  std::optional<RmsNorm> query_norm_;
  std::optional<RmsNorm> key_norm_;
  Linear output_;
  at::Tensor attention_gate_;  // [1] or [hidden], tanh taken
  Norm mlp_norm_;
  Linear up_;  // or rows gate | up
  Linear down_;
  at::Tensor mlp_gate_;
};

// What the decoder's blocks look at, of each picture [n, rows, memory_size]: keys and values of all
// of them side by side, [rows, blocks * 2 * inner] each.
std::vector<at::Tensor> picture_memories(
    const std::vector<std::shared_ptr<const GatedCrossAttention>>& blocks,
    const at::Tensor& pictures);

}  // namespace saccade
