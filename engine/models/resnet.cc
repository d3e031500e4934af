#include "engine/models/resnet.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace saccade {
namespace {

constexpr int kExpansion = 4;  // of a bottleneck's last convolution
constexpr size_t kMaxStages = 4;
constexpr int kMaxBlocks = 256;
constexpr int kMaxWidth = 1 << 16;

at::Tensor pooled(const at::Tensor& x, int64_t stride) {
  return stride == 1 ? x : at::avg_pool2d(x, {stride, stride});
}

}  // namespace

ResNetConfig ResNetConfig::parse(const JsonView& config) {
  ResNetConfig resnet;
  resnet.width = config.positive_int("width", 64);
  resnet.image_size = config.positive_int("image_size", 224);
  resnet.layers = config.int_or_int_list("layers");
  const auto sane = [](int blocks) { return blocks > 0 && blocks <= kMaxBlocks; };
  if (resnet.layers.empty() || resnet.layers.size() > kMaxStages ||
      !std::all_of(resnet.layers.begin(), resnet.layers.end(), sane)) {
    config.fail("layers", "must be a list of one to four numbers of blocks");
  }
  if (resnet.width % 2 != 0 || resnet.width > kMaxWidth) {
    config.fail("width", "must be even and at most " + std::to_string(kMaxWidth));
  }
  const int stride = 1 << (resnet.layers.size() + 1);
  if (resnet.image_size % stride != 0) {
    config.fail("image_size", "must be a multiple of " + std::to_string(stride));
  }
  return resnet;
}

ResNet::Conv::Conv(const WeightScope& scope, int64_t in, int64_t out, int64_t kernel,
                   int64_t stride)
    : weight(scope.tensor("weight", {out, in, kernel, kernel})),
      bias(scope.tensor("bias", {out})),
      stride(stride) {}

at::Tensor ResNet::Conv::operator()(const at::Tensor& x) const {
  const int64_t padding = weight.size(2) / 2;
  return at::conv2d(x, weight, bias, {stride, stride}, {padding, padding});
}

ResNet::Bottleneck::Bottleneck(const WeightScope& scope, int64_t in, int64_t planes, int64_t stride)
    : reduce(scope("conv1"), in, planes, 1),
      middle(scope("conv2"), planes, planes, 3),
      expand(scope("conv3"), planes, kExpansion * planes, 1),
      stride(stride) {
  if (stride > 1 || in != kExpansion * planes) {
    shortcut.emplace_back(scope("downsample"), in, kExpansion * planes, 1);
  }
}

at::Tensor ResNet::Bottleneck::operator()(const at::Tensor& x) const {
  const at::Tensor inner = pooled(at::relu(middle(at::relu(reduce(x)))), stride);
  const at::Tensor beside = shortcut.empty() ? x : shortcut.front()(pooled(x, stride));
  return at::relu(expand(inner) + beside);
}

ResNet::ResNet(const ResNetConfig& c, const WeightScope& scope) {
  const int64_t half = c.width / 2;
  stem_.emplace_back(scope("stem")(0), 3, half, 3, 2);
  stem_.emplace_back(scope("stem")(1), half, half, 3);
  stem_.emplace_back(scope("stem")(2), half, c.width, 3);
  int64_t channels = c.width;
  for (size_t stage = 0; stage < c.layers.size(); ++stage) {
    const int64_t planes = int64_t{c.width} << stage;
    for (int i = 0; i < c.layers[stage]; ++i) {
      const int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      blocks_.emplace_back(scope("layers")(static_cast<int>(stage))(i), channels, planes, stride);
      channels = kExpansion * planes;
    }
  }
}

at::Tensor ResNet::operator()(const at::Tensor& pixels) const {
  at::Tensor x = pixels.to(stem_.front().weight.options());
  for (const Conv& conv : stem_) x = at::relu(conv(x));
  x = pooled(x, 2);
  for (const Bottleneck& block : blocks_) x = block(x);
  return x;
}

std::string resnet_summary(const ResNetConfig& c) {
  int blocks = 0;
  for (const int count : c.layers) blocks += count;
  return "vision: CLIP ResNet, " + std::to_string(blocks) + " blocks, " +
         std::to_string(c.channels()) + " channels, " + std::to_string(c.image_size) +
         " pixels to a grid of " + std::to_string(c.side()) + "x" + std::to_string(c.side());
}

}  // namespace saccade
