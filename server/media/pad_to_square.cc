#include "server/media/pad_to_square.h"

#include <algorithm>
#include <cstring>

namespace saccade {

RgbImage pad_to_square(const RgbImage& image, const std::array<uint8_t, 3>& color) {
  if (image.height == image.width) return image;
  const int side = std::max(image.height, image.width);
  RgbImage out(side, side);
  for (size_t i = 0; i < out.pixels.size(); i += 3) std::memcpy(&out.pixels[i], color.data(), 3);
  const int top = (side - image.height) / 2, left = (side - image.width) / 2;
  for (int y = 0; y < image.height; ++y) {
    std::memcpy(out.row(top + y) + 3 * left, image.row(y), image.stride());
  }
  return out;
}

}  // namespace saccade
