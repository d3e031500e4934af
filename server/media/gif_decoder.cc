#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "server/media/format_decoders.h"

namespace saccade::media {
namespace {

using Palette = std::array<std::array<uint8_t, 3>, 256>;

struct GifSource {
  std::string_view bytes;
  size_t position = 0;
};

int on_read(GifFileType* gif, GifByteType* out, int count) {
  auto* source = static_cast<GifSource*>(gif->UserData);
  const size_t left = source->bytes.size() - source->position;
  const size_t size = std::min(static_cast<size_t>(std::max(count, 0)), left);
  std::memcpy(out, source->bytes.data() + source->position, size);
  source->position += size;
  return static_cast<int>(size);
}

struct GifCloser {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};

bool is_gray_ramp(const ColorMapObject& map) {
  for (int i = 0; i < map.ColorCount; ++i) {
    const GifColorType& color = map.Colors[i];
    if (color.Red != i || color.Green != i || color.Blue != i) return false;
  }
  return true;
}

// A palette that says nothing (index = gray level) counts as none, a local one goes before the
// global one, no palette means gray levels. Indices beyond a palette are black.
Palette make_palette(const ColorMapObject* local, const ColorMapObject* global) {
  Palette palette{};
  for (const ColorMapObject* map : {local, global}) {
    if (map == nullptr || is_gray_ramp(*map)) continue;
    for (int i = 0; i < std::min(map->ColorCount, 256); ++i) {
      const GifColorType& color = map->Colors[i];
      palette[static_cast<size_t>(i)] = {color.Red, color.Green, color.Blue};
    }
    return palette;
  }
  for (size_t i = 0; i < palette.size(); ++i) palette[i].fill(static_cast<uint8_t>(i));
  return palette;
}

// The index that stands for "transparent" in the first frame: the canvas around the frame is
// filled with it. 0 without one.
bool read_extension(GifFileType* gif, uint8_t* fill) {
  int code = 0;
  GifByteType* block = nullptr;
  if (DGifGetExtension(gif, &code, &block) == GIF_ERROR) return false;
  if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr && block[0] >= 4 && (block[1] & 1) != 0) {
    *fill = block[4];
  }
  while (block != nullptr) {
    if (DGifGetExtensionNext(gif, &block) == GIF_ERROR) return false;
  }
  return true;
}

// Moves on to the first frame's descriptor.
bool find_frame(GifFileType* gif, uint8_t* fill) {
  GifRecordType record = UNDEFINED_RECORD_TYPE;
  while (DGifGetRecordType(gif, &record) != GIF_ERROR) {
    if (record == IMAGE_DESC_RECORD_TYPE) return DGifGetImageDesc(gif) != GIF_ERROR;
    if (record != EXTENSION_RECORD_TYPE || !read_extension(gif, fill)) return false;
  }
  return false;
}

// Decodes the frame's indices into `canvas` [height, width].
bool read_frame(GifFileType* gif, int width, std::vector<uint8_t>* canvas) {
  const GifImageDesc& frame = gif->Image;
  const auto read_row = [&](int y) {
    const size_t at = size_t(frame.Top + y) * size_t(width) + size_t(frame.Left);
    return DGifGetLine(gif, canvas->data() + at, frame.Width) != GIF_ERROR;
  };
  struct Pass {
    int first, step;
  };
  static constexpr Pass kInterlaced[] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};
  static constexpr Pass kPlain[] = {{0, 1}};
  const Pass* passes = frame.Interlace ? kInterlaced : kPlain;
  const int count = frame.Interlace ? 4 : 1;
  for (int p = 0; p < count; ++p) {
    for (int y = passes[p].first; y < frame.Height; y += passes[p].step) {
      if (!read_row(y)) return false;
    }
  }
  return true;
}

}  // namespace

Status decode_gif(std::string_view bytes, RgbImage* image) {
  GifSource source{bytes};
  const std::unique_ptr<GifFileType, GifCloser> gif(DGifOpen(&source, on_read, nullptr));
  if (!gif) return damaged("GIF", "invalid header");
  uint8_t fill = 0;
  if (!find_frame(gif.get(), &fill)) return damaged("GIF", "no picture in it");
  const GifImageDesc& frame = gif->Image;
  if (frame.Width <= 0 || frame.Height <= 0 || frame.Left < 0 || frame.Top < 0 ||
      frame.Width > image->width - frame.Left || frame.Height > image->height - frame.Top) {
    return damaged("GIF", "its size is not what its header says");
  }
  std::vector<uint8_t> canvas(size_t(image->width) * size_t(image->height), fill);
  if (!read_frame(gif.get(), image->width, &canvas)) {
    return damaged("GIF", "the picture data is damaged or truncated");
  }
  const Palette palette = make_palette(frame.ColorMap, gif->SColorMap);
  uint8_t* out = image->pixels.data();
  for (const uint8_t index : canvas) {
    std::memcpy(out, palette[index].data(), 3);
    out += 3;
  }
  return Status();
}

}  // namespace saccade::media
