#pragma once

#include <cstdint>
#include <string>

namespace saccade {

inline std::string big_endian(uint32_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

inline std::string little_endian(uint32_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

inline std::string png_chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<uint32_t>(data.size()), 4) + type + data + "CRC!";
}

// Headers that the probe reads; behind them there are no pixels worth the name.
inline std::string png_header(uint32_t width, uint32_t height, int depth = 8, int color = 2,
                              const std::string& more = "") {
  return std::string("\x89PNG\r\n\x1a\n") +
         png_chunk("IHDR", big_endian(width, 4) + big_endian(height, 4) +
                               std::string{char(depth), char(color), 0, 0, 0}) +
         more + png_chunk("IDAT", "x") + png_chunk("IEND", "");
}

inline std::string jpeg_segment(int marker, const std::string& data) {
  return std::string("\xff") + char(marker) +
         big_endian(static_cast<uint32_t>(data.size() + 2), 2) + data;
}

inline std::string jpeg_header(uint32_t width, uint32_t height, int components = 3, int bits = 8,
                               const std::string& before = "") {
  std::string frame = std::string{char(bits)} + big_endian(height, 2) + big_endian(width, 2) +
                      std::string{char(components)};
  for (int c = 0; c < components; ++c) frame += std::string{char(c + 1), 0x11, 0};
  return std::string("\xff\xd8") + before + jpeg_segment(0xC0, frame) + jpeg_segment(0xDA, "scan") +
         "data";
}

inline std::string webp_file(const std::string& chunks) {
  return std::string("RIFF") + little_endian(static_cast<uint32_t>(chunks.size() + 4), 4) + "WEBP" +
         chunks;
}

inline std::string webp_chunk(const std::string& type, const std::string& data) {
  return type + little_endian(static_cast<uint32_t>(data.size()), 4) + data +
         (data.size() % 2 != 0 ? std::string(1, '\0') : "");
}

inline std::string webp_lossy(uint32_t width, uint32_t height) {
  return webp_file(webp_chunk("VP8 ", std::string("\0\0\0\x9d\x01\x2a", 6) +
                                          little_endian(width, 2) + little_endian(height, 2) +
                                          std::string(20, 'x')));
}

inline std::string webp_lossless(uint32_t width, uint32_t height, bool alpha) {
  const uint32_t bits = (width - 1) | (height - 1) << 14 | uint32_t{alpha} << 28;
  return webp_file(
      webp_chunk("VP8L", std::string("\x2f") + little_endian(bits, 4) + std::string(20, 'x')));
}

inline std::string webp_extended(uint32_t width, uint32_t height, int flags,
                                 const std::string& more = "") {
  return webp_file(webp_chunk("VP8X", std::string{char(flags), 0, 0, 0} +
                                          little_endian(width - 1, 3) +
                                          little_endian(height - 1, 3)) +
                   more + webp_chunk("VP8 ", std::string(30, 'x')));
}

inline std::string gif_header(uint32_t width, uint32_t height, uint32_t frame_width,
                              uint32_t frame_height, uint32_t left = 0, uint32_t top = 0) {
  return std::string("GIF89a") + little_endian(width, 2) + little_endian(height, 2) +
         std::string(3, '\0') + std::string("!\xfe\x03hey\0", 7) + "," + little_endian(left, 2) +
         little_endian(top, 2) + little_endian(frame_width, 2) + little_endian(frame_height, 2) +
         std::string("\0\x08", 2);
}

inline std::string bmp_header(uint32_t width, uint32_t height, int bits, uint32_t compression = 0) {
  return std::string("BM") + little_endian(0, 4) + little_endian(0, 4) + little_endian(54, 4) +
         little_endian(40, 4) + little_endian(width, 4) + little_endian(height, 4) +
         little_endian(1, 2) + little_endian(static_cast<uint32_t>(bits), 2) +
         little_endian(compression, 4) + std::string(20, '\0');
}

// "Exif\0\0" and a TIFF structure with an orientation and nothing else.
inline std::string exif_block(int orientation, bool big) {
  const auto number = [&](uint32_t value, int bytes) {
    return big ? big_endian(value, bytes) : little_endian(value, bytes);
  };
  return std::string("Exif\0\0", 6) + (big ? std::string("MM\0*", 4) : std::string("II*\0", 4)) +
         number(8, 4) + number(1, 2) + number(274, 2) + number(3, 2) + number(1, 4) +
         number(static_cast<uint32_t>(orientation), 2) + number(0, 2) + number(0, 4);
}

}  // namespace saccade
