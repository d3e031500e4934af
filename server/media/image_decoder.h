#pragma once

#include <string_view>

#include "engine/core/status.h"
#include "server/media/image_probe.h"
#include "server/media/rgb_image.h"

namespace saccade {

// The upright picture, bit for bit what Pillow 12 gives with
// `ImageOps.exif_transpose(Image.open(f)).convert("RGB")`: alpha is dropped, palettes are looked
// up, 16-bit RGB keeps its high byte, 16-bit gray is clipped at 255, CMYK JPEGs are read as Adobe's
// inverted ones; of animations the first frame.
// `header` is what probe_image said of the same bytes. Memory: at most three times the pixels
// (384 MiB more for progressive JPEGs). InvalidArgument: the data is damaged or truncated, or does
// not have the size its header promised; some damage that Pillow overlooks is refused too.
Result<RgbImage> decode_image(std::string_view bytes, const ImageHeader& header);

}  // namespace saccade
