#include "engine/models/encoder_batch.h"

#include <ATen/ATen.h>

#include <stdexcept>
#include <string>

namespace saccade {
namespace {

std::string size_text(int height, int width) {
  return std::to_string(height) + "x" + std::to_string(width);
}

}  // namespace

at::Tensor stack_pixels(const std::vector<const EncoderInput*>& inputs, int height, int width) {
  const auto count = static_cast<int64_t>(inputs.size());
  at::Tensor pixels = at::empty({count, 3, height, width}, at::kFloat);
  const size_t item_size = size_t{3} * height * width;
  for (int64_t i = 0; i < count; ++i) {
    const MediaItem& item = *inputs[i]->media;
    const bool fits = item.frames == 1 && item.channels == 3 && item.height == height &&
                      item.width == width && item.pixels.size() == item_size;
    if (!fits) {
      throw std::invalid_argument("the preprocessed picture is " +
                                  size_text(item.height, item.width) + ", the tower takes " +
                                  size_text(height, width));
    }
    std::copy(item.pixels.begin(), item.pixels.end(), pixels.data_ptr<float>() + i * item_size);
  }
  return pixels;
}

}  // namespace saccade
