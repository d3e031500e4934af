#include "server/media/smart_resize_rule.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

namespace saccade {
namespace {

constexpr double kLargestRatio = 200;  // of the sides, as the reference has it
constexpr int kMaxPixels = 1 << 28;

}  // namespace

SmartResizeRule::SmartResizeRule(const ProcessorFields& fields, bool do_resize, Filter filter,
                                 const Defaults& defaults)
    : do_resize_(do_resize),
      filter_(filter),
      min_pixels_(defaults.min_pixels),
      max_pixels_(defaults.max_pixels) {
  int patch = 14, merge = 2;
  fields.read_int("patch_size", 1, 256, &patch);
  fields.read_int("merge_size", 1, 16, &merge);
  unit_ = patch * merge;
  int least = static_cast<int>(min_pixels_), most = static_cast<int>(max_pixels_);
  // 4.57 writes both and reads min_pixels and max_pixels; 5.x has `size` alone.
  if (const auto* size = fields.find("size")) {
    if (!fields.has_keys(*size, {"shortest_edge", "longest_edge"})) {
      fields.fail("size", "must be {\"shortest_edge\", \"longest_edge\"}, numbers of pixels");
    }
    const ProcessorFields edges = fields.nested("size", *size);
    edges.read_int("shortest_edge", 1, kMaxPixels, &least);
    edges.read_int("longest_edge", 1, kMaxPixels, &most);
  }
  fields.read_int("min_pixels", 1, kMaxPixels, &least);
  fields.read_int("max_pixels", 1, kMaxPixels, &most);
  if (least > most) fields.fail("max_pixels", "is smaller than min_pixels");
  min_pixels_ = least;
  max_pixels_ = most;
}

Status SmartResizeRule::check(ImageSize original) const {
  const auto [least, most] = std::minmax(original.height, original.width);
  if (!do_resize_ || static_cast<double>(most) / least <= kLargestRatio) return {};
  return invalid_argument("the picture's longer side is more than 200 times its shorter one");
}

// The reference's smart_resize(): Python's round() goes to the even neighbour, as nearbyint does.
ImageSize SmartResizeRule::resized(ImageSize original) const {
  if (!do_resize_) return original;
  const double height = original.height, width = original.width, unit = unit_;
  const auto rounded = [&](double side) {
    return static_cast<int64_t>(std::nearbyint(side / unit)) * unit_;
  };
  int64_t high = rounded(height), wide = rounded(width);
  if (high * wide > max_pixels_) {
    const double beta = std::sqrt(height * width / static_cast<double>(max_pixels_));
    const auto shrunk = [&](double side) {
      return std::max<int64_t>(unit_, static_cast<int64_t>(std::floor(side / beta / unit)) * unit_);
    };
    high = shrunk(height);
    wide = shrunk(width);
  } else if (high * wide < min_pixels_) {
    const double beta = std::sqrt(static_cast<double>(min_pixels_) / (height * width));
    const auto grown = [&](double side) {
      return static_cast<int64_t>(std::ceil(side * beta / unit)) * unit_;
    };
    high = grown(height);
    wide = grown(width);
  }
  return {static_cast<int>(high), static_cast<int>(wide)};
}

MediaLayout SmartResizeRule::layout(ImageSize original, const PictureUse&) const {
  return {.original = original, .part = resized(original)};
}

std::vector<RgbImage> SmartResizeRule::cut(const RgbImage& image, const PictureUse&) const {
  const ImageSize size = resized({image.height, image.width});
  std::vector<RgbImage> parts;
  parts.push_back(do_resize_ ? resize(image, size.width, size.height, filter_) : image);
  return parts;
}

std::string SmartResizeRule::description() const {
  std::ostringstream text;
  text << "resize=" << (do_resize_ ? "smart" : "none") << ':' << unit_ << ',' << min_pixels_ << ','
       << max_pixels_ << " filter=" << static_cast<int>(filter_);
  return text.str();
}

}  // namespace saccade
