#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "engine/layers/activation.h"
#include "engine/layers/linear.h"
#include "engine/layers/norm.h"
#include "engine/weights/json.h"

namespace saccade {

struct ResamplerConfig {
  int hidden_size = 0;  // the vision tower's width
  int num_latents = 0;
  int num_layers = 0;
  int num_heads = 0;
  int head_dim = 0;
  bool qk_norm = false;
  Activation activation = Activation::kRelu;

  // With the reference class's defaults.
  static ResamplerConfig parse(const JsonView& config, int hidden_size);
};

// Flamingo's perceiver resampler (Alayrac et al. 2022) as IDEFICS (transformers'
// models/idefics/perceiver.py) and OpenFlamingo (helpers.py) have it: learned latents look at
// [picture; latents] in every layer, with LayerNorms. Idefics2's (perceiver.h) is another one.
class Resampler {
 public:
  Resampler(const ResamplerConfig& config, const WeightScope& scope);

  // context [n, patches, hidden] -> [n, num_latents, hidden]
  at::Tensor operator()(const at::Tensor& context) const;

 private:
  struct Layer {
    Layer(const ResamplerConfig& config, const WeightScope& attention, const WeightScope& mlp);

    LayerNorm context_norm;
    LayerNorm latents_norm;
    std::optional<LayerNorm> query_norm;
    std::optional<LayerNorm> key_norm;
    Linear query;
    Linear key_value;  // rows k | v
    Linear output;
    LayerNorm mlp_norm;
    Linear up;
    Linear down;
  };

  at::Tensor attend(const Layer& layer, const at::Tensor& context, const at::Tensor& latents) const;

  ResamplerConfig config_;
  at::Tensor latents_;  // [num_latents, hidden]
  std::vector<Layer> layers_;
  LayerNorm norm_;
};

}  // namespace saccade
