#include "engine/models/anyres.h"

#include <ATen/ATen.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

namespace saccade {
namespace {

// Python's int(round(x, 7)) of a positive number: seven exact decimals, then cut off.
int rounded_then_cut(double x) {
  std::array<char, 64> digits{};
  std::to_chars(digits.data(), digits.data() + digits.size() - 1, x, std::chars_format::fixed, 7);
  return std::atoi(digits.data());
}

// Python's x // y of positive floats: not floor(x / y), whose quotient may round up.
double floor_divide(double x, double y) {
  const double quotient = (x - std::fmod(x, y)) / y;
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

}  // namespace

AnyresPacking::Window AnyresPacking::window(int rows, int columns, ImageSize original) const {
  constexpr double kScaleFrom = 1.1;  // a little more than max_tiles is let pass
  Window w{.height = rows * side, .width = columns * side};
  const double aspect = static_cast<double>(original.width) / original.height;
  if (aspect > static_cast<double>(w.width) / w.height) {  // padded above and below
    const double scale = static_cast<double>(w.width) / original.width;
    w.top = (w.height - rounded_then_cut(original.height * scale)) / 2;
    w.height -= 2 * w.top;
  } else {
    const double scale = static_cast<double>(w.height) / original.height;
    w.left = (w.width - rounded_then_cut(original.width * scale)) / 2;
    w.width -= 2 * w.left;
  }
  w.scaled_height = w.height;
  w.scaled_width = w.width;
  if (max_tiles == 0) return w;
  const double ratio = std::sqrt(static_cast<double>(int64_t{w.height} * w.width) /
                                 static_cast<double>(int64_t{max_tiles} * side * side));
  if (ratio > kScaleFrom) {
    w.scaled_height = static_cast<int>(floor_divide(w.height, ratio));
    w.scaled_width = static_cast<int>(floor_divide(w.width, ratio));
  }
  return w;
}

int AnyresPacking::tokens(const MediaLayout& layout) const {
  const int overview = side * side;
  if (layout.parts == 1) return overview + 1;  // and one newline
  const Window w = window(layout.rows, layout.columns, layout.original);
  return overview + w.scaled_height * (w.scaled_width + 1);
}

at::Tensor AnyresPacking::pack(const at::Tensor& features, const MediaItem& item,
                               const at::Tensor& newline) const {
  const int64_t width = features.size(2);
  if (item.frames == 1) return at::cat({features[0], newline.view({1, width})});
  if (item.rows * item.columns + 1 != item.frames) {
    throw std::invalid_argument("a picture's tiles do not fill its grid");
  }
  const Window w = window(item.rows, item.columns, {item.original_height, item.original_width});
  // [rows, columns, side, side, H] -> [H, rows * side, columns * side]
  at::Tensor grid = features.narrow(0, 1, item.frames - 1)
                        .view({item.rows, item.columns, side, side, width})
                        .permute({4, 0, 2, 1, 3})
                        .reshape({width, item.rows * side, item.columns * side})
                        .narrow(1, w.top, w.height)
                        .narrow(2, w.left, w.width);
  if (w.scaled_height != w.height || w.scaled_width != w.width) {
    grid = at::upsample_bilinear2d(grid.unsqueeze(0).contiguous(),
                                   {w.scaled_height, w.scaled_width}, /*align_corners=*/false)[0];
  }
  const at::Tensor ends = newline.view({width, 1, 1}).expand({width, w.scaled_height, 1});
  const at::Tensor rows = at::cat({grid, ends}, 2).flatten(1).transpose(0, 1);
  return at::cat({features[0], rows});
}

}  // namespace saccade
