#pragma once

#include "server/media/rgb_image.h"

namespace saccade {

// The numbers are those of Pillow's Image.Resampling, which processor files hold.
enum class Filter {
  kNearest = 0,
  kLanczos = 1,
  kBilinear = 2,
  kBicubic = 3,
  kBox = 4,
  kHamming = 5
};

// The picture at width x height (both at least 1), bit for bit as Pillow's Image.resize on mode
// "RGB": when shrinking, the filter's support grows with the factor (antialiasing); weights are
// fixed point with 22 fractional bits; the horizontal pass comes first (up to Pillow 12; 13 takes
// the vertical one first where height - new height > 2 (width - new width)) and is rounded and
// clipped to 8 bits before the vertical one; a pass that changes nothing is left out. The caller
// bounds the sizes: memory is the result plus width x (rows used) x 3 bytes.
RgbImage resize(const RgbImage& image, int width, int height, Filter filter);

}  // namespace saccade
