#pragma once

#include <string_view>

#include "engine/core/status.h"
#include "server/media/media_limits.h"

namespace saccade {

enum class ImageFormat { kPng, kJpeg, kWebp, kGif, kBmp };

// "PNG", "JPEG", ...
std::string_view format_name(ImageFormat format);

// What a picture file says about itself before anything is decoded.
struct ImageHeader {
  ImageFormat format = ImageFormat::kPng;
  int width = 0;  // of the upright picture, pixels: what the model is shown
  int height = 0;
  int stored_width = 0;  // as in the file; swapped against the above for orientations 5-8
  int stored_height = 0;
  int channels = 0;     // samples per stored pixel: 1 gray or palette index, 2 gray+alpha, 3, 4
  int bit_depth = 0;    // bits per sample
  int orientation = 1;  // EXIF tag 274, 1..8
};

// Reads the header of a PNG, JPEG, WebP, GIF or BMP file (decided by its first bytes) and holds it
// against the limits. The size is the one decode_image will deliver: for GIF the logical screen
// grown by the first frame, for WebP the canvas, as Pillow 12 sees them. Costs no memory beyond
// 1 MiB. InvalidArgument: unknown format, damaged header, or a limit is exceeded.
Result<ImageHeader> probe_image(std::string_view bytes, const MediaLimits& limits);

}  // namespace saccade
