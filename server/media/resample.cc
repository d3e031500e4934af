#include "server/media/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "server/media/resample_kernels.h"

namespace saccade {
namespace {

using media::AxisWeights;
using media::kReadSlack;
using media::kRowBlock;
using media::ResampleKernels;

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double bilinear(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double hamming(double x) {
  x = std::fabs(x);
  if (x == 0.0) return 1.0;
  if (x >= 1.0) return 0.0;
  x *= std::numbers::pi;
  // Pillow has the two constants in single precision, which shows in the last bit.
  return std::sin(x) / x * (0.54F + 0.46F * std::cos(x));
}

// Keys' cubic convolution with a = -1/2.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double lanczos3(double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

struct Kernel {
  double (*weight)(double);
  double support;  // pixels to either side, at scale 1
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::kBox:
      return {box, 0.5};
    case Filter::kBilinear:
      return {bilinear, 1.0};
    case Filter::kHamming:
      return {hamming, 1.0};
    case Filter::kLanczos:
      return {lanczos3, 3.0};
    default:
      return {bicubic, 2.0};
  }
}

int32_t to_fixed_point(double weight) {
  const double scaled = weight * (1 << media::kFractionBits);
  return static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

// The arithmetic, down to the order of the operations, decides the last bit of the weights.
AxisWeights make_weights(int in_size, int out_size, const Kernel& kernel) {
  const double scale = static_cast<double>(in_size) / out_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = kernel.support * filter_scale;
  const double step = 1.0 / filter_scale;
  const int longest = static_cast<int>(std::ceil(support)) * 2 + 1;
  AxisWeights axis;
  axis.taps =
      (std::min(longest, in_size) + media::kTapStep - 1) / media::kTapStep * media::kTapStep;
  axis.first.resize(size_t(out_size));
  axis.count.resize(size_t(out_size));
  axis.weights.resize(size_t(out_size) * size_t(axis.taps));
  std::vector<double> weights(size_t(axis.taps));
  for (int x = 0; x < out_size; ++x) {
    const double center = (x + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int end = std::min(static_cast<int>(center + support + 0.5), in_size);
    const int count = end - first;
    double sum = 0.0;
    for (int i = 0; i < count; ++i) {
      weights[size_t(i)] = kernel.weight((i + first - center + 0.5) * step);
      sum += weights[size_t(i)];
    }
    int32_t* fixed = axis.weights.data() + size_t(x) * size_t(axis.taps);
    for (int i = 0; i < count; ++i) {
      fixed[i] = to_fixed_point(sum != 0.0 ? weights[size_t(i)] / sum : weights[size_t(i)]);
    }
    axis.first[size_t(x)] = first;
    axis.count[size_t(x)] = count;
  }
  return axis;
}

// Rows [first_row, first_row + rows) of `image` at a new width.
RgbImage resize_width(const RgbImage& image, const AxisWeights& axis, int first_row, int rows,
                      const ResampleKernels& kernels) {
  RgbImage out(static_cast<int>(axis.first.size()), rows);
  const size_t stride = image.stride();
  const uint8_t* end = image.pixels.data() + image.pixels.size();
  std::vector<uint8_t> padded(stride + kReadSlack);
  int y = 0;
  while (y < rows) {
    const uint8_t* in = image.row(first_row + y);
    const int block = rows - y >= kRowBlock ? kRowBlock : 1;
    if (static_cast<size_t>(end - in) >= stride * size_t(block) + kReadSlack) {
      kernels.horizontal(in, stride, block, axis, out.row(y), out.stride());
      y += block;
    } else {
      std::memcpy(padded.data(), in, stride);
      kernels.horizontal(padded.data(), stride, 1, axis, out.row(y), out.stride());
      y += 1;
    }
  }
  return out;
}

// `first_row`: which row of the original `image` starts with.
RgbImage resize_height(const RgbImage& image, const AxisWeights& axis, int first_row,
                       const ResampleKernels& kernels) {
  RgbImage out(image.width, static_cast<int>(axis.first.size()));
  for (int y = 0; y < out.height; ++y) {
    kernels.vertical(image.row(axis.first[size_t(y)] - first_row), image.stride(),
                     axis.weights.data() + size_t(y) * size_t(axis.taps), axis.count[size_t(y)],
                     image.stride(), out.row(y));
  }
  return out;
}

// Nearest neighbour walks the source in steps that add up, rounding errors included.
RgbImage resize_nearest(const RgbImage& image, int width, int height) {
  const auto positions = [](int in_size, int out_size) {
    std::vector<int> result(static_cast<size_t>(out_size));
    const double scale = static_cast<double>(in_size) / out_size;
    double at = scale * 0.5;
    for (int& position : result) {
      position = std::min(static_cast<int>(at), in_size - 1);
      at += scale;
    }
    return result;
  };
  const std::vector<int> columns = positions(image.width, width);
  const std::vector<int> rows = positions(image.height, height);
  RgbImage out(width, height);
  for (int y = 0; y < height; ++y) {
    const uint8_t* in = image.row(rows[size_t(y)]);
    uint8_t* to = out.row(y);
    for (const int column : columns) {
      std::memcpy(to, in + size_t(column) * 3, 3);
      to += 3;
    }
  }
  return out;
}

}  // namespace

namespace media {

RgbImage resize_with(const ResampleKernels& kernels, const RgbImage& image, int width, int height,
                     Filter filter) {
  if (image.width == width && image.height == height) return image;
  if (filter == Filter::kNearest) return resize_nearest(image, width, height);
  const Kernel kernel = kernel_of(filter);
  if (image.height == height) {
    return resize_width(image, make_weights(image.width, width, kernel), 0, height, kernels);
  }
  const AxisWeights vertical = make_weights(image.height, height, kernel);
  if (image.width == width) return resize_height(image, vertical, 0, kernels);
  // Only rows that some output row uses go through the horizontal pass.
  const int first_row = vertical.first.front();
  const int rows = vertical.first.back() + vertical.count.back() - first_row;
  const RgbImage narrowed =
      resize_width(image, make_weights(image.width, width, kernel), first_row, rows, kernels);
  return resize_height(narrowed, vertical, first_row, kernels);
}

}  // namespace media

RgbImage resize(const RgbImage& image, int width, int height, Filter filter) {
  return media::resize_with(media::best_kernels(), image, width, height, filter);
}

}  // namespace saccade
