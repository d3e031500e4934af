#include "server/media/split_rule.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace saccade {
namespace {

int round_up(int value, int unit) { return (value + unit - 1) / unit * unit; }

int next_even(int value) { return value + value % 2; }

// int(width / (width' / height')): the reference divides twice, in doubles, and cuts off.
int at_ratio_of(int width, ImageSize size) {
  const double ratio = static_cast<double>(size.width) / size.height;
  return static_cast<int>(width / ratio);
}
int at_ratio_of_height(int height, ImageSize size) {
  const double ratio = static_cast<double>(size.width) / size.height;
  return static_cast<int>(height * ratio);
}

}  // namespace

SplitRule::SplitRule(const ProcessorFields& fields, bool do_resize, Filter filter)
    : do_resize_(do_resize), filter_(filter) {
  if (const auto* size = fields.find("size")) {
    if (fields.has_keys(*size, {"longest_edge"})) {
      longest_edge_ = fields.side("size.longest_edge", (*size)["longest_edge"]);
    } else if (!fields.read_exact("size", *size, &exact_)) {
      fields.fail("size", "must be {\"longest_edge\"} or {\"height\", \"width\"}");
    }
  }
  if (const auto* size = fields.find("max_image_size")) {
    if (!fields.has_keys(*size, {"longest_edge"})) {
      fields.fail("max_image_size", "must be {\"longest_edge\"}");
    }
    tile_ = fields.side("max_image_size.longest_edge", (*size)["longest_edge"]);
  }
  fields.read_bool("do_image_splitting", &do_split_);
}

// The longest edge becomes longest_edge_, the other keeps the ratio and is made even; then neither
// may pass kMaxImageSide.
ImageSize SplitRule::resized(ImageSize original) const {
  if (!do_resize_) return original;
  if (exact_.height > 0) return exact_;
  ImageSize size = original;
  if (original.width >= original.height) {
    size = {std::max(1, next_even(at_ratio_of(longest_edge_, original))), longest_edge_};
  } else {
    size = {longest_edge_, std::max(1, next_even(at_ratio_of_height(longest_edge_, original)))};
  }
  const ImageSize even = size;
  if (even.width >= even.height && even.width > kMaxImageSide) {
    size = {std::max(1, at_ratio_of(kMaxImageSide, even)), kMaxImageSide};
  } else if (even.height > even.width && even.height > kMaxImageSide) {
    size = {kMaxImageSide, std::max(1, at_ratio_of_height(kMaxImageSide, even))};
  }
  return size;
}

// Whole tiles: the longer side rounded up, the other at the ratio and rounded up.
ImageSize SplitRule::tiled(ImageSize size, const PictureUse& use) const {
  if (!do_split_ || use.detail == ImageDetail::kLow) return {tile_, tile_};
  if (size.width >= size.height) {
    const int width = round_up(size.width, tile_);
    return {round_up(std::max(1, at_ratio_of(width, size)), tile_), width};
  }
  const int height = round_up(size.height, tile_);
  return {height, round_up(std::max(1, at_ratio_of_height(height, size)), tile_)};
}

MediaLayout SplitRule::layout(ImageSize original, const PictureUse& use) const {
  const ImageSize whole = tiled(resized(original), use);
  MediaLayout layout{.original = original, .part = {tile_, tile_}};
  if (whole.height > tile_ || whole.width > tile_) {
    layout.rows = whole.height / tile_;
    layout.columns = whole.width / tile_;
    layout.parts = layout.rows * layout.columns + 1;
  }
  return layout;
}

ImageSize SplitRule::largest_step(ImageSize original, const PictureUse& use) const {
  const ImageSize first = resized(original), second = tiled(first, use);
  return {std::max(first.height, second.height), std::max(first.width, second.width)};
}

std::vector<RgbImage> SplitRule::cut(const RgbImage& image, const PictureUse& use) const {
  const ImageSize first = resized({image.height, image.width});
  const RgbImage rescaled = do_resize_ ? resize(image, first.width, first.height, filter_) : image;
  const ImageSize whole = tiled(first, use);
  RgbImage tiles = resize(rescaled, whole.width, whole.height, filter_);
  std::vector<RgbImage> parts;
  if (whole.height > tile_ || whole.width > tile_) {
    for (int top = 0; top < whole.height; top += tile_) {
      for (int left = 0; left < whole.width; left += tile_) {
        parts.push_back(crop(tiles, left, top, tile_, tile_));
      }
    }
    tiles = resize(tiles, tile_, tile_, filter_);
  }
  parts.push_back(std::move(tiles));
  return parts;
}

std::string SplitRule::description() const {
  std::ostringstream text;
  if (do_resize_ && exact_.height > 0) {
    text << "resize=" << exact_.height << 'x' << exact_.width;
  } else if (do_resize_) {
    text << "resize=longest:" << longest_edge_;
  } else {
    text << "resize=none";
  }
  text << " filter=" << static_cast<int>(filter_) << " tile=" << tile_ << " split=" << do_split_;
  return text.str();
}

}  // namespace saccade
