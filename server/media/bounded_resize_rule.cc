#include "server/media/bounded_resize_rule.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace saccade {

BoundedResizeRule::BoundedResizeRule(const ProcessorFields& fields, bool do_resize, Filter filter)
    : do_resize_(do_resize), filter_(filter) {
  if (const auto* size = fields.find("size")) {
    if (fields.has_keys(*size, {"shortest_edge", "longest_edge"})) {
      shortest_edge_ = fields.side("size.shortest_edge", (*size)["shortest_edge"]);
      longest_edge_ = fields.side("size.longest_edge", (*size)["longest_edge"]);
    } else if (!fields.read_exact("size", *size, &exact_)) {
      fields.fail("size",
                  "must be {\"shortest_edge\", \"longest_edge\"} or {\"height\", \"width\"}");
    }
  }
  fields.read_bool("do_image_splitting", &do_split_);
}

Status BoundedResizeRule::check(ImageSize original) const {
  if (!do_split_ || std::min(original.height, original.width) >= 2) return {};
  return invalid_argument("this model splits pictures: each side must have at least 2 pixels");
}

// The longest edge shrinks to its limit at the same ratio, then each edge grows to the shortest
// alone: narrow pictures are stretched, as in the reference.
ImageSize BoundedResizeRule::resized(ImageSize original) const {
  if (!do_resize_) return original;
  if (exact_.height > 0) return exact_;
  const double ratio = static_cast<double>(original.width) / original.height;
  ImageSize size = original;
  if (original.width >= original.height && original.width > longest_edge_) {
    size = {static_cast<int>(longest_edge_ / ratio), longest_edge_};
  } else if (original.height > original.width && original.height > longest_edge_) {
    size = {longest_edge_, static_cast<int>(longest_edge_ * ratio)};
  }
  return {std::max(size.height, shortest_edge_), std::max(size.width, shortest_edge_)};
}

MediaLayout BoundedResizeRule::layout(ImageSize original, const PictureUse&) const {
  MediaLayout layout{.original = original, .part = resized(original)};
  if (!do_split_) return layout;
  layout.parts = 5;
  layout.rows = layout.columns = 2;
  return layout;
}

std::vector<RgbImage> BoundedResizeRule::cut(const RgbImage& image, const PictureUse&) const {
  std::vector<RgbImage> parts;
  if (do_split_) {
    const int x = image.width / 2, y = image.height / 2;
    const int right = image.width - x, bottom = image.height - y;
    parts.push_back(crop(image, 0, 0, x, y));
    parts.push_back(crop(image, x, 0, right, y));
    parts.push_back(crop(image, 0, y, x, bottom));
    parts.push_back(crop(image, x, y, right, bottom));
  }
  parts.push_back(image);
  for (RgbImage& part : parts) {
    const ImageSize size = resized({part.height, part.width});
    if (do_resize_) part = resize(part, size.width, size.height, filter_);
  }
  return parts;
}

std::string BoundedResizeRule::description() const {
  std::ostringstream text;
  if (do_resize_ && exact_.height > 0) {
    text << "resize=" << exact_.height << 'x' << exact_.width;
  } else if (do_resize_) {
    text << "resize=edges:" << shortest_edge_ << ',' << longest_edge_;
  } else {
    text << "resize=none";
  }
  text << " filter=" << static_cast<int>(filter_) << " split=" << do_split_;
  return text.str();
}

}  // namespace saccade
