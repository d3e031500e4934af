#include "server/media/whole_patches_rule.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

namespace saccade {

WholePatchesRule::WholePatchesRule(const ProcessorFields& fields, bool do_resize, Filter filter)
    : do_resize_(do_resize), filter_(filter) {
  fields.read_int("patch_size", 1, 4096, &unit_);
  const auto* size = fields.find("size");
  if (size == nullptr) return;
  if (size->is_object() && size->contains("longest_edge") && !(*size)["longest_edge"].is_null()) {
    const int edge = fields.side("size.longest_edge", (*size)["longest_edge"]);
    most_ = {edge, edge};
  } else if (!fields.read_exact("size", *size, &most_)) {
    fields.fail("size", "must be {\"longest_edge\"} or {\"height\", \"width\"}");
  }
}

Status WholePatchesRule::check(ImageSize original) const {
  const ImageSize size = resized(original);
  if (std::min(size.height, size.width) >= 1) return {};
  return invalid_argument(
      "nothing is left of the picture's shorter side where the longer one has " +
      std::to_string(std::max(most_.height, most_.width)) + " pixels");
}

// The reference's get_resize_output_image_size().
ImageSize WholePatchesRule::resized(ImageSize original) const {
  if (!do_resize_) return original;
  ImageSize size = original;
  const double ratio = std::max(static_cast<double>(size.height) / most_.height,
                                static_cast<double>(size.width) / most_.width);
  if (ratio > 1) {
    size = {static_cast<int>(std::floor(size.height / ratio)),
            static_cast<int>(std::floor(size.width / ratio))};
  }
  const auto whole = [&](int side) { return (side + unit_ - 1) / unit_ * unit_; };
  return {whole(size.height), whole(size.width)};
}

std::vector<RgbImage> WholePatchesRule::cut(const RgbImage& image, const PictureUse&) const {
  const ImageSize size = resized({image.height, image.width});
  std::vector<RgbImage> parts;
  parts.push_back(do_resize_ ? resize(image, size.width, size.height, filter_) : image);
  return parts;
}

std::string WholePatchesRule::description() const {
  std::ostringstream text;
  text << "resize=" << (do_resize_ ? "patches" : "none") << ':' << most_.height << 'x'
       << most_.width << ',' << unit_;
  return text.str();
}

}  // namespace saccade
