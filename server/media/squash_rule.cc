#include "server/media/squash_rule.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace saccade {

SquashRule::SquashRule(const ProcessorFields& fields, bool do_resize, Filter filter)
    : do_resize_(do_resize), filter_(filter) {
  // Older files name the size among what they say of sampling; `size` wins.
  if (const auto* sampling = fields.find("video_sampling"); sampling && sampling->is_object()) {
    read_size(fields.nested("video_sampling", *sampling), "video_size");
  }
  read_size(fields, "size");
  if (const auto* size = fields.find("max_image_size")) {
    if (!fields.has_keys(*size, {"longest_edge"})) {
      fields.fail("max_image_size", "must be {\"longest_edge\"}");
    }
    side_ = fields.side("max_image_size.longest_edge", (*size)["longest_edge"]);
  }
}

void SquashRule::read_size(const ProcessorFields& fields, const std::string& field) {
  const auto* size = fields.find(field.c_str());
  if (size == nullptr) return;
  if (fields.has_keys(*size, {"longest_edge"})) {
    const int edge = fields.side(field + ".longest_edge", (*size)["longest_edge"]);
    longest_edge_ = std::min(edge, kMaxImageSide);
  } else if (!fields.read_exact(field, *size, &exact_)) {
    fields.fail(field, "must be {\"longest_edge\"} or {\"height\", \"width\"}");
  }
}

// The shorter side keeps the ratio and is made even; the reference divides in doubles and cuts off.
ImageSize SquashRule::scaled(ImageSize original) const {
  if (exact_.height > 0) return exact_;
  const double ratio = static_cast<double>(original.width) / original.height;
  const bool wide = original.width >= original.height;
  int shorter = static_cast<int>(wide ? longest_edge_ / ratio : longest_edge_ * ratio);
  shorter = std::max(shorter + shorter % 2, 1);
  return wide ? ImageSize{shorter, longest_edge_} : ImageSize{longest_edge_, shorter};
}

MediaLayout SquashRule::layout(ImageSize original, const PictureUse&) const {
  return {.original = original, .part = do_resize_ ? ImageSize{side_, side_} : original};
}

ImageSize SquashRule::largest_step(ImageSize original, const PictureUse&) const {
  return do_resize_ ? scaled(original) : original;
}

std::vector<RgbImage> SquashRule::cut(const RgbImage& image, const PictureUse&) const {
  std::vector<RgbImage> parts;
  if (!do_resize_) {
    parts.push_back(image);
    return parts;
  }
  const ImageSize size = scaled({image.height, image.width});
  const RgbImage whole = resize(image, size.width, size.height, filter_);
  parts.push_back(resize(whole, side_, side_, filter_));
  return parts;
}

std::string SquashRule::description() const {
  std::ostringstream text;
  text << "resize=" << (do_resize_ ? "squash" : "none") << ':' << longest_edge_ << ','
       << exact_.height << 'x' << exact_.width << ',' << side_;
  return text.str();
}

}  // namespace saccade
