#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/core/status.h"

namespace saccade::media {

// What precedes the pixels of a GIF's first frame.
struct GifFrame {
  uint32_t canvas_width = 0;  // the logical screen, grown where the frame reaches beyond it
  uint32_t canvas_height = 0;
  uint32_t left = 0, top = 0, width = 0, height = 0;  // of the frame on the canvas, pixels
  bool interlaced = false;
  uint8_t transparent = 0;   // index the canvas around the frame is filled with; 0 without one
  std::string_view palette;  // RGB triples; empty: indices are gray levels
  size_t data_offset = 0;    // of the LZW code size, in the file
};

Result<GifFrame> read_gif_frame(std::string_view bytes);

}  // namespace saccade::media
