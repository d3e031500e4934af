#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace saccade {

// 8-bit RGB, rows from top to bottom without padding.
struct RgbImage {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;  // [height, width, 3]

  RgbImage() = default;
  RgbImage(int w, int h) : width(w), height(h), pixels(size_t(w) * size_t(h) * 3) {}
  size_t stride() const { return size_t(width) * 3; }  // bytes
  uint8_t* row(int y) { return pixels.data() + size_t(y) * stride(); }
  const uint8_t* row(int y) const { return pixels.data() + size_t(y) * stride(); }
};

// The width x height pixels from (left, top) on; they lie inside of the image.
inline RgbImage crop(const RgbImage& image, int left, int top, int width, int height) {
  RgbImage out(width, height);
  for (int y = 0; y < height; ++y) {
    std::memcpy(out.row(y), image.row(top + y) + 3 * size_t(left), out.stride());
  }
  return out;
}

}  // namespace saccade
