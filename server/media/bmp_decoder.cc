#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "server/media/bmp_header.h"
#include "server/media/byte_reader.h"
#include "server/media/format_decoders.h"

namespace saccade::media {
namespace {

// Bytes of a row that hold pixels.
uint64_t used_row_bytes(const BmpHeader& header) {
  const uint64_t width = header.width;
  switch (header.layout) {
    case BmpLayout::kBits1:
    case BmpLayout::kMono1:
      return (width + 7) / 8;
    case BmpLayout::kBits4:
      return (width + 1) / 2;
    case BmpLayout::kBits8:
    case BmpLayout::kGray8:
      return width;
    default:
      return width * static_cast<unsigned>(header.bits) / 8;
  }
}

void put(const std::array<uint8_t, 3>& color, uint8_t* out) { std::memcpy(out, color.data(), 3); }

// 5- and 6-bit samples are stretched to 0..255, rounded down.
void unpack_16(const uint8_t* in, int width, bool six_bit_green, uint8_t* out) {
  for (int x = 0; x < width; ++x, in += 2, out += 3) {
    const int value = in[0] | in[1] << 8;
    const int green_max = six_bit_green ? 63 : 31;
    out[0] = static_cast<uint8_t>((value >> (six_bit_green ? 11 : 10) & 31) * 255 / 31);
    out[1] = static_cast<uint8_t>((value >> 5 & green_max) * 255 / green_max);
    out[2] = static_cast<uint8_t>((value & 31) * 255 / 31);
  }
}

void unpack_row(const BmpHeader& header, const uint8_t* in, int width, uint8_t* out) {
  const auto& palette = header.palette;
  switch (header.layout) {
    case BmpLayout::kBits1:
      for (int x = 0; x < width; ++x) put(palette[in[x / 8] >> (7 - x % 8) & 1], out + 3 * x);
      return;
    case BmpLayout::kMono1:
      for (int x = 0; x < width; ++x) {
        std::memset(out + 3 * x, (in[x / 8] >> (7 - x % 8) & 1) != 0 ? 255 : 0, 3);
      }
      return;
    case BmpLayout::kBits4:
      for (int x = 0; x < width; ++x) {
        put(palette[(x % 2 == 0 ? in[x / 2] >> 4 : in[x / 2] & 15)], out + 3 * x);
      }
      return;
    case BmpLayout::kBits8:
      for (int x = 0; x < width; ++x) put(palette[in[x]], out + 3 * x);
      return;
    case BmpLayout::kGray8:
      for (int x = 0; x < width; ++x) std::memset(out + 3 * x, in[x], 3);
      return;
    case BmpLayout::kRgb555:
    case BmpLayout::kRgb565:
      unpack_16(in, width, header.layout == BmpLayout::kRgb565, out);
      return;
    case BmpLayout::kBytes:
      for (int x = 0; x < width; ++x, in += header.bits / 8) {
        for (size_t c = 0; c < 3; ++c) out[3 * x + static_cast<int>(c)] = in[header.rgb_offset[c]];
      }
      return;
  }
}

Status decode_raw(const BmpHeader& header, std::string_view bytes, RgbImage* image) {
  const uint64_t stride = header.stride(), used = used_row_bytes(header);
  if (used > stride) return damaged("BMP", "rows are too short for a gray picture");
  const uint64_t needed = stride * (header.height - 1) + used;
  const ByteReader file(bytes);
  if (!file.has(header.pixel_offset, needed)) return damaged("BMP", "truncated");
  const auto* in = reinterpret_cast<const uint8_t*>(bytes.data()) + header.pixel_offset;
  for (int y = 0; y < image->height; ++y, in += stride) {
    unpack_row(header, in, image->width, image->row(header.top_down ? y : image->height - 1 - y));
  }
  return Status();
}

// Run-length coded indices, one byte per pixel, in file order. Pillow's reading, which strays from
// the format's description in three places: a delta takes four bytes of which the last two count,
// an odd absolute run of 4-bit pixels drops its last one, and end-of-line in mid-row pads the row.
std::optional<std::vector<uint8_t>> expand_rle(std::string_view bytes, size_t position, bool rle4,
                                               size_t width, size_t height) {
  const ByteReader file(bytes);
  const size_t wanted = width * height;
  std::vector<uint8_t> out;
  out.reserve(wanted + 256);
  size_t x = 0;
  const auto pad = [&](size_t count) { out.resize(std::min(wanted, out.size() + count)); };
  while (out.size() < wanted && file.has(position, 2)) {
    const uint8_t count = file.u8(position), value = file.u8(position + 1);
    position += 2;
    if (count != 0) {
      const size_t run = x + count > width ? width - std::min(x, width) : count;
      for (size_t i = 0; i < run; ++i) {
        out.push_back(!rle4 ? value : static_cast<uint8_t>(i % 2 == 0 ? value >> 4 : value & 15));
      }
      x += run;
    } else if (value == 0) {
      if (out.size() % width != 0) pad(width - out.size() % width);
      x = 0;
    } else if (value == 1) {
      break;
    } else if (value == 2) {
      if (!file.has(position, 2)) break;
      if (!file.has(position, 4)) return std::nullopt;
      pad(file.u8(position + 2) + size_t{file.u8(position + 3)} * width);
      x = out.size() % width;
      position += 4;
    } else {
      const size_t run = rle4 ? value / 2 : value;
      const std::string_view pixels = file.view(position, run);
      position += pixels.size();
      for (const char pixel : pixels) {
        const auto byte = static_cast<uint8_t>(pixel);
        out.push_back(rle4 ? byte >> 4 : byte);
        if (rle4) out.push_back(byte & 15);
      }
      if (pixels.size() < run) break;
      x += value;
      position += position % 2;  // runs start at even offsets of the file
    }
  }
  if (out.size() < wanted) return std::nullopt;
  return out;
}

Status decode_rle(const BmpHeader& header, std::string_view bytes, RgbImage* image) {
  const bool gray = header.layout == BmpLayout::kGray8;
  if (!gray && !header.has_palette) return damaged("BMP", "run lengths without a palette");
  const auto indices =
      expand_rle(bytes, header.pixel_offset, header.encoding == BmpEncoding::kRle4,
                 static_cast<size_t>(image->width), static_cast<size_t>(image->height));
  if (!indices) return damaged("BMP", "truncated");
  const uint8_t* in = indices->data();
  for (int y = 0; y < image->height; ++y) {
    uint8_t* row = image->row(header.top_down ? y : image->height - 1 - y);
    for (int x = 0; x < image->width; ++x, ++in) {
      if (gray) {
        std::memset(row + 3 * x, *in, 3);
      } else {
        put(header.palette[*in], row + 3 * x);
      }
    }
  }
  return Status();
}

}  // namespace

Status decode_bmp(std::string_view bytes, RgbImage* image) {
  const Result<BmpHeader> header = read_bmp_header(bytes);
  if (!header.ok()) return header.status();
  if (header->width != static_cast<uint32_t>(image->width) ||
      header->height != static_cast<uint32_t>(image->height)) {
    return damaged("BMP", "its size is not what its header says");
  }
  return header->encoding == BmpEncoding::kRaw ? decode_raw(*header, bytes, image)
                                               : decode_rle(*header, bytes, image);
}

}  // namespace saccade::media
