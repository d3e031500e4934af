#include "server/media/gif_frame.h"

#include <algorithm>

#include "server/media/byte_reader.h"
#include "server/media/format_probes.h"

namespace saccade::media {
namespace {

constexpr uint8_t kHasPalette = 0x80, kInterlaced = 0x40, kHasTransparency = 0x01;
constexpr uint8_t kGraphicControl = 0xF9;

size_t palette_bytes(uint8_t flags) {
  return (flags & kHasPalette) != 0 ? size_t{3} << ((flags & 7) + 1) : 0;
}

// A palette that maps every index to that gray level says nothing.
bool is_gray_ramp(std::string_view palette) {
  for (size_t i = 0; i < palette.size(); ++i) {
    if (static_cast<uint8_t>(palette[i]) != i / 3) return false;
  }
  return true;
}

// Reads the extension at `at` ('!'); the offset behind it, perhaps past the end of the file.
size_t read_extension(const ByteReader& file, size_t at, GifFrame* frame) {
  if (file.u8(at + 1) == kGraphicControl && file.u8(at + 2) >= 4 &&
      (file.u8(at + 3) & kHasTransparency) != 0) {
    frame->transparent = file.u8(at + 6);
  }
  at += 2;
  while (file.has(at, 1)) {
    const size_t length = file.u8(at);
    at += 1 + length;
    if (length == 0) break;
  }
  return at;
}

Status truncated_gif() { return invalid_argument("damaged GIF: truncated"); }

Result<GifFrame> read_descriptor(const ByteReader& file, size_t at, std::string_view global,
                                 GifFrame frame) {
  if (!file.has(at, 10)) return truncated_gif();
  frame.left = file.u16le(at + 1);
  frame.top = file.u16le(at + 3);
  frame.width = file.u16le(at + 5);
  frame.height = file.u16le(at + 7);
  frame.canvas_width = std::max(frame.canvas_width, frame.left + frame.width);
  frame.canvas_height = std::max(frame.canvas_height, frame.top + frame.height);
  const uint8_t flags = file.u8(at + 9);
  frame.interlaced = (flags & kInterlaced) != 0;
  const std::string_view local = file.view(at + 10, palette_bytes(flags));
  frame.palette = !is_gray_ramp(local)    ? local
                  : !is_gray_ramp(global) ? global
                                          : std::string_view();
  frame.data_offset = at + 10 + palette_bytes(flags);
  if (!file.has(frame.data_offset, 1)) return truncated_gif();
  return frame;
}

}  // namespace

Result<GifFrame> read_gif_frame(std::string_view bytes) {
  const ByteReader file(bytes);
  if (!file.has(0, 13)) return truncated_gif();
  GifFrame frame;
  frame.canvas_width = file.u16le(6);
  frame.canvas_height = file.u16le(8);
  const std::string_view global = file.view(13, palette_bytes(file.u8(10)));
  size_t at = 13 + palette_bytes(file.u8(10));
  while (file.has(at, 1)) {
    const uint8_t block = file.u8(at);
    if (block == ',') return read_descriptor(file, at, global, frame);
    if (block != '!') return invalid_argument("damaged GIF: no picture in it");
    at = read_extension(file, at, &frame);
  }
  return truncated_gif();
}

Result<ProbedHeader> probe_gif(std::string_view bytes) {
  const Result<GifFrame> frame = read_gif_frame(bytes);
  if (!frame.ok()) return frame.status();
  ProbedHeader header;
  header.width = frame->canvas_width;
  header.height = frame->canvas_height;
  header.channels = 1;
  header.bit_depth = 8;
  return header;
}

}  // namespace saccade::media
