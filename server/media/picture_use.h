#pragma once

#include <string_view>

namespace saccade {

// `detail` of an image_url part.
enum class ImageDetail { kAuto, kLow, kHigh };

// "original" is what the model's own processor does: auto.
inline ImageDetail image_detail(std::string_view name) {
  return name == "low"    ? ImageDetail::kLow
         : name == "high" ? ImageDetail::kHigh
                          : ImageDetail::kAuto;
}

// What decides, beside its size, how a picture is cut into parts.
struct PictureUse {
  ImageDetail detail = ImageDetail::kAuto;  // low: the whole picture alone, no tiles
  bool alone = true;                        // the only picture of its request
};

}  // namespace saccade
