#pragma once

#include <array>
#include <cstdint>

#include "server/media/rgb_image.h"

namespace saccade {

// The picture in the middle of a square of `color`, as transformers' pad_to_square.
RgbImage pad_to_square(const RgbImage& image, const std::array<uint8_t, 3>& color);

}  // namespace saccade
