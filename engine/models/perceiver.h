#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "engine/layers/activation.h"
#include "engine/layers/linear.h"
#include "engine/layers/norm.h"
#include "engine/models/gated_mlp.h"
#include "engine/weights/json.h"

namespace saccade {

struct PerceiverConfig {
  int hidden_size = 0;  // the decoder's width
  int num_latents = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  double rms_norm_eps = 0;
  Activation activation = Activation::kSilu;

  // With the reference class's defaults. Where the file names another hidden_size than the
  // decoder's or none that is equal, the decoder's width and epsilon count, as in the reference.
  static PerceiverConfig parse(const JsonView& config, int text_hidden, double text_eps);
};

// The resampler of Idefics2 (Laurençon et al. 2024; transformers' modeling_idefics2.py): learned
// latents look at [picture; latents] in every layer and end as the picture's visual tokens.
class Perceiver {
 public:
  Perceiver(const PerceiverConfig& config, const WeightScope& scope);

  int num_latents() const { return config_.num_latents; }
  at::Tensor latents(int64_t count) const;  // [count, num_latents, hidden]
  // One layer: latents [n, num_latents, hidden], context [n, patches, hidden].
  at::Tensor layer(int i, const at::Tensor& latents, const at::Tensor& context) const;
  // context [n, patches, hidden] -> [n, num_latents, hidden]
  at::Tensor operator()(const at::Tensor& context) const;

 private:
  struct Layer {
    Layer(const PerceiverConfig& config, const WeightScope& scope);

    RmsNorm latents_norm;
    RmsNorm context_norm;
    Linear query;
    Linear key_value;  // rows k | v
    Linear output;
    RmsNorm mlp_norm;
    GatedMlp mlp;
  };

  PerceiverConfig config_;
  at::Tensor latents_;  // [num_latents, hidden]
  std::vector<Layer> layers_;
  RmsNorm norm_;
};

}  // namespace saccade
