#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "engine/core/status.h"

namespace saccade::media {

enum class BmpEncoding { kRaw, kRle8, kRle4 };

// How the bytes of a pixel row become pixels.
enum class BmpLayout {
  kBits1,   // 1 bit, palette index
  kBits4,   // 4 bits, palette index
  kBits8,   // 8 bits, palette index
  kGray8,   // 8 bits, gray level
  kMono1,   // 1 bit, black or white
  kRgb555,  // 16 bits, little endian
  kRgb565,  // 16 bits, little endian
  kBytes,   // whole bytes, see BmpHeader::rgb_offset
};

// Everything a BMP file says before its pixels, read as Pillow's plugin reads it (its quirks
// included: which files are gray, where the pixels start).
struct BmpHeader {
  uint32_t width = 0;
  uint32_t height = 0;
  bool top_down = false;
  int bits = 0;  // per pixel
  BmpEncoding encoding = BmpEncoding::kRaw;
  BmpLayout layout = BmpLayout::kBytes;
  std::array<int, 3> rgb_offset{};  // kBytes: byte of R, G and B within a pixel
  std::array<std::array<uint8_t, 3>, 256> palette{};
  bool has_palette = false;
  size_t pixel_offset = 0;  // of the first pixel byte in the file

  // Bytes from one stored row to the next.
  uint64_t stride() const {
    return (uint64_t{width} * static_cast<unsigned>(bits) + 31) / 8 & ~uint64_t{3};
  }
};

Result<BmpHeader> read_bmp_header(std::string_view bytes);

}  // namespace saccade::media
