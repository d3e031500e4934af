#include "server/media/anyres_rule.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "server/media/pad_to_square.h"

namespace saccade {
namespace {

constexpr size_t kMaxResolutions = 256;

// The largest size of the picture's shape within `target`, sides rounded up.
ImageSize fit(ImageSize original, ImageSize target) {
  const double by_width = static_cast<double>(target.width) / original.width;
  const double by_height = static_cast<double>(target.height) / original.height;
  if (by_width < by_height) {
    const auto height = static_cast<int>(std::ceil(original.height * by_width));
    return {std::min(height, target.height), target.width};
  }
  const auto width = static_cast<int>(std::ceil(original.width * by_height));
  return {target.height, std::min(width, target.width)};
}

// In the middle of a black canvas; an odd pixel more goes to the right and the bottom.
RgbImage pad(const RgbImage& image, ImageSize size) {
  RgbImage out(size.width, size.height);
  const int top = (size.height - image.height) / 2, left = (size.width - image.width) / 2;
  for (int y = 0; y < image.height; ++y) {
    std::memcpy(out.row(top + y) + 3 * size_t(left), image.row(y), image.stride());
  }
  return out;
}

}  // namespace

AnyresRule::Defaults AnyresRule::next() {
  return {224, {{336, 672}, {672, 336}, {672, 672}, {1008, 336}, {336, 1008}}, true, false};
}

AnyresRule::Defaults AnyresRule::onevision() {
  constexpr int kTile = 384, kMost = 6;
  Defaults defaults{kTile, {}, false, true};
  for (int rows = 1; rows <= kMost; ++rows) {
    for (int columns = 1; columns <= kMost; ++columns) {
      defaults.resolutions.push_back({rows * kTile, columns * kTile});
    }
  }
  return defaults;
}

AnyresRule::AnyresRule(const ProcessorFields& fields, Filter filter,
                       const std::array<double, 3>& mean, const Defaults& defaults)
    : filter_(filter),
      tile_(defaults.tile),
      resolutions_(defaults.resolutions),
      pads_single_(defaults.pads_single) {
  for (size_t c = 0; pads_single_ && c < mean.size(); ++c) {
    const double level = mean[c] * 255;
    if (!(level >= 0 && level <= 255)) fields.fail("image_mean", "must lie between 0 and 1");
    pad_color_[c] = static_cast<uint8_t>(level);
  }
  read_sizes(fields, defaults.crops);
  read_resolutions(fields);
}

// The reference resizes and crops every tile once more, which changes nothing when `size` and
// `crop_size` are a tile's: no checkpoint has others.
void AnyresRule::read_sizes(const ProcessorFields& fields, bool crops) {
  if (const auto* size = fields.find("size")) {
    ImageSize exact{};
    if (size->is_number()) {
      tile_ = fields.side("size", *size);
    } else if (fields.has_keys(*size, {"shortest_edge"})) {
      tile_ = fields.side("size.shortest_edge", (*size)["shortest_edge"]);
    } else if (fields.read_exact("size", *size, &exact) && exact.height == exact.width) {
      tile_ = exact.height;
    } else {
      fields.fail("size",
                  "must be a number, {\"shortest_edge\"} or {\"height\", \"width\"} of a square");
    }
  }
  if (!crops) return;
  ImageSize crop{224, 224};
  if (const auto* size = fields.find("crop_size");
      size != nullptr && !fields.read_exact("crop_size", *size, &crop)) {
    const int side = fields.side("crop_size", *size);
    crop = {side, side};
  }
  if (crop != ImageSize{tile_, tile_}) {
    fields.fail("crop_size", "must be the " + std::to_string(tile_) + "x" + std::to_string(tile_) +
                                 " of size: they are one tile");
  }
}

void AnyresRule::read_resolutions(const ProcessorFields& fields) {
  const char* name = "image_grid_pinpoints";
  if (const auto* list = fields.find(name)) {
    if (!list->is_array() || list->empty() || list->size() > kMaxResolutions) {
      fields.fail(name, "must be a list of [height, width]");
    }
    resolutions_.clear();
    for (size_t i = 0; i < list->size(); ++i) {
      ImageSize size{};
      if (!fields.read_exact(std::string(name) + "[" + std::to_string(i) + "]", (*list)[i],
                             &size)) {
        fields.fail(name, "must be a list of [height, width]");
      }
      resolutions_.push_back(size);
    }
  }
  for (const ImageSize& size : resolutions_) {
    if (size.height % tile_ != 0 || size.width % tile_ != 0) {
      fields.fail(name, "holds a resolution that is not a multiple of the tile of " +
                            std::to_string(tile_) + " pixels");
    }
  }
}

// The one that keeps most pixels of the picture; of several the one that wastes least.
ImageSize AnyresRule::best_resolution(ImageSize original) const {
  ImageSize best{};
  int64_t most = -1, least_waste = 0;
  for (const ImageSize& size : resolutions_) {
    const double scale = std::min(static_cast<double>(size.width) / original.width,
                                  static_cast<double>(size.height) / original.height);
    const auto width = static_cast<int64_t>(original.width * scale);
    const auto height = static_cast<int64_t>(original.height * scale);
    const int64_t kept = std::min(width * height, int64_t{original.width} * original.height);
    const int64_t waste = int64_t{size.width} * size.height - kept;
    if (kept > most || (kept == most && waste < least_waste)) {
      best = size;
      most = kept;
      least_waste = waste;
    }
  }
  return best;
}

bool AnyresRule::single(const PictureUse& use) const {
  return use.detail == ImageDetail::kLow || (pads_single_ && !use.alone);
}

MediaLayout AnyresRule::layout(ImageSize original, const PictureUse& use) const {
  MediaLayout layout{.original = original, .part = {tile_, tile_}};
  if (single(use)) return layout;
  const ImageSize best = best_resolution(original);
  layout.rows = best.height / tile_;
  layout.columns = best.width / tile_;
  layout.parts = layout.rows * layout.columns + 1;
  return layout;
}

ImageSize AnyresRule::largest_step(ImageSize original, const PictureUse& use) const {
  const int longer = std::max(original.height, original.width);
  if (!single(use)) return best_resolution(original);
  return pads_single_ ? ImageSize{longer, longer} : ImageSize{tile_, tile_};
}

std::vector<RgbImage> AnyresRule::cut(const RgbImage& image, const PictureUse& use) const {
  std::vector<RgbImage> parts;
  if (single(use)) {
    parts.push_back(
        resize(pads_single_ ? pad_to_square(image, pad_color_) : image, tile_, tile_, filter_));
    return parts;
  }
  const ImageSize original{image.height, image.width}, best = best_resolution(original);
  const ImageSize inner = fit(original, best);
  const RgbImage canvas = pad(resize(image, inner.width, inner.height, filter_), best);
  parts.push_back(resize(image, tile_, tile_, filter_));
  for (int top = 0; top < best.height; top += tile_) {
    for (int left = 0; left < best.width; left += tile_) {
      parts.push_back(crop(canvas, left, top, tile_, tile_));
    }
  }
  return parts;
}

std::string AnyresRule::description() const {
  std::ostringstream text;
  text << "tile=" << tile_ << " filter=" << static_cast<int>(filter_) << " resolutions=";
  for (const ImageSize& size : resolutions_) text << size.height << 'x' << size.width << ',';
  return text.str();
}

}  // namespace saccade
