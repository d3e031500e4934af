#pragma once

namespace saccade {

// `detail` of an image_url part.
enum class ImageDetail { kAuto, kLow, kHigh };

// What decides, beside its size, how a picture is cut into parts.
struct PictureUse {
  ImageDetail detail = ImageDetail::kAuto;  // low: the whole picture alone, no tiles
  bool alone = true;                        // the only picture of its request
};

}  // namespace saccade
