#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "engine/core/media.h"

namespace saccade {

// Pixels of one-frame inputs as one float32 tensor [n, 3, height, width] on the CPU. Throws
// std::invalid_argument naming the sizes when an item has another one.
at::Tensor stack_pixels(const std::vector<const EncoderInput*>& inputs, int height, int width);

}  // namespace saccade
