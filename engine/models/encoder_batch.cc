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
  int64_t parts = 0;
  for (const EncoderInput* input : inputs) parts += input->media->frames;
  at::Tensor pixels = at::empty({parts, 3, height, width}, at::kFloat);
  float* out = pixels.data_ptr<float>();
  for (const EncoderInput* input : inputs) {
    const MediaItem& item = *input->media;
    const size_t size = size_t(item.frames) * 3 * height * width;
    const bool fits = item.channels == 3 && item.height == height && item.width == width &&
                      item.pixels.size() == size;
    if (!fits) {
      throw std::invalid_argument("the preprocessed picture is " +
                                  size_text(item.height, item.width) + ", the tower takes " +
                                  size_text(height, width));
    }
    out = std::copy(item.pixels.begin(), item.pixels.end(), out);
  }
  return pixels;
}

at::Tensor item_pixels(const EncoderInput& input) {
  const MediaItem& item = *input.media;
  if (item.frames < 1 || item.channels != 3 || item.height < 1 || item.width < 1 ||
      item.pixels.size() != size_t(item.frames) * 3 * item.height * item.width) {
    throw std::invalid_argument("the preprocessed picture's sizes do not fit its pixels");
  }
  return at::from_blob(const_cast<float*>(item.pixels.data()),
                       {item.frames, 3, item.height, item.width}, at::kFloat);
}

std::vector<at::Tensor> item_parts(const EncoderInput& input) {
  const MediaItem& item = *input.media;
  if (item.part_sizes.empty()) return item_pixels(input).unbind(0);
  std::vector<at::Tensor> parts;
  float* data = const_cast<float*>(item.pixels.data());
  const float* end = data + item.pixels.size();
  for (const ImageSize& size : item.part_sizes) {
    const int64_t samples = int64_t{3} * size.height * size.width;
    if (size.height < 1 || size.width < 1 || samples > end - data) {
      throw std::invalid_argument("the preprocessed picture's sizes do not fit its pixels");
    }
    parts.push_back(at::from_blob(data, {3, size.height, size.width}, at::kFloat));
    data += samples;
  }
  return parts;
}

std::vector<at::Tensor> split_parts(const at::Tensor& all,
                                    const std::vector<const EncoderInput*>& inputs) {
  std::vector<at::Tensor> each;
  int64_t first = 0;
  for (const EncoderInput* input : inputs) {
    each.push_back(all.narrow(0, first, input->media->frames));
    first += input->media->frames;
  }
  return each;
}

std::vector<at::Tensor> join_parts(const at::Tensor& rows,
                                   const std::vector<const EncoderInput*>& inputs) {
  std::vector<at::Tensor> joined = split_parts(rows, inputs);
  for (at::Tensor& one : joined) one = one.flatten(0, 1);
  return joined;
}

}  // namespace saccade
