#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "engine/weights/json.h"
#include "engine/weights/weight_map.h"

namespace saccade {

struct ResNetConfig {
  int width = 0;            // channels behind the stem
  std::vector<int> layers;  // bottlenecks of each stage
  int image_size = 0;       // pixels a side

  static ResNetConfig parse(const JsonView& config);

  int channels() const { return width << (layers.size() + 1); }   // of the last stage
  int side() const { return image_size >> (layers.size() + 1); }  // of its grid
};

// CLIP's ResNet (Radford et al. 2021, after He et al. 2016) without its last pooling: a stem of
// three convolutions, strides behind mean pooling. Its batch norms are part of the convolutions,
// which have biases for it.
class ResNet {
 public:
  ResNet(const ResNetConfig& config, const WeightScope& scope);

  // pixels [n, 3, S, S] -> [n, channels, side, side]
  at::Tensor operator()(const at::Tensor& pixels) const;

 private:
  // A convolution that keeps height and width, but for its stride.
  struct Conv {
    Conv(const WeightScope& scope, int64_t in, int64_t out, int64_t kernel, int64_t stride = 1);
    at::Tensor operator()(const at::Tensor& x) const;

    at::Tensor weight;  // [out, in, kernel, kernel]
    at::Tensor bias;
    int64_t stride;
  };
  struct Bottleneck {
    Bottleneck(const WeightScope& scope, int64_t in, int64_t planes, int64_t stride);
    at::Tensor operator()(const at::Tensor& x) const;

    Conv reduce;
    Conv middle;
    Conv expand;
    std::vector<Conv> shortcut;  // none or one
    int64_t stride;
  };

  std::vector<Conv> stem_;
  std::vector<Bottleneck> blocks_;
};

std::string resnet_summary(const ResNetConfig& config);

}  // namespace saccade
