#pragma once

#include <memory>
#include <vector>

#include "engine/core/types.h"

namespace saccade {

enum class MediaKind { kImage, kVideo };

// Size of a picture in pixels, upright.
struct ImageSize {
  int height = 0;
  int width = 0;
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

// What preprocessing makes of a picture or video. Follows from sizes and frame times alone, so the
// length of a prompt is known before any pixel is decoded.
struct MediaLayout {
  MediaKind kind = MediaKind::kImage;
  ImageSize original{};  // of the upright picture
  ImageSize part{};      // of each part as the encoder takes it
  int parts = 1;         // frames of a video; tiles of a picture, an overview among them
  int rows = 0;          // grid of the tiles; 0: the picture stays whole
  int columns = 0;
  // Of a video: when each of its frames is shown, seconds from its start; how long it is; how many
  // of its frames are looked at for each second of it; and the rate the request named, 0: none.
  std::vector<double> times = {};
  double seconds = 0;
  double fps = 0;
  double asked_fps = 0;
};

// Rows and columns of an item's visual tokens in one frame, and what they do to the decoder's
// positions (grid_positions.h). 0 x 0: they count like text.
struct TokenGrid {
  int rows = 0;
  int columns = 0;
  float frame_step = 1;  // positions from one frame to the next; a fraction is cut off at the end
  int extent = 0;        // from the first one to the text behind; 0: the largest of the three axes
};

// One picture (or list of frames) as the vision encoder takes it.
struct MediaItem {
  MediaKind kind = MediaKind::kImage;
  std::vector<float> pixels;          // [frames, channels, height, width], normalised
  int frames = 1;                     // of a video; parts (tiles) of a picture
  std::vector<ImageSize> part_sizes;  // [frames] where parts differ in size; else empty
  int channels = 3;
  int height = 0;  // after preprocessing, in pixels
  int width = 0;
  int rows = 0;  // grid of a picture's tiles; 0: not cut
  int columns = 0;
  int original_height = 0;  // of the upright picture, before preprocessing
  int original_width = 0;
  ContentHash hash;  // of the file's bytes and the preprocessing
};

// Media of one request with what else its encoding depends on.
struct EncoderInput {
  std::shared_ptr<const MediaItem> media;
  // Tokens an instruction-aware connector (Q-Former) reads beside the pixels; empty elsewhere.
  std::vector<TokenId> instruction;
  // Names the encoder's output: hash of media->hash and instruction. The prefix cache and the
  // encoder cache both use it.
  ContentHash key;
};

// Positions [position, position + length) of a prompt hold rows [offset, offset + length) of the
// visual tokens of encoder input `media`; or, where memory_rows says so, text that looks at them.
struct MediaSpan {
  int position = 0;
  int length = 0;
  int media = 0;        // index into Request::media
  int offset = 0;       // first row of that input's output
  TokenGrid grid = {};  // for models whose positions tell rows and columns apart
  // > 0: the positions hold text which looks at that many rows, all of the input's output, from
  // within the decoder's layers (cross-attention). Such a span that ends with the prompt goes on
  // through the answer.
  int memory_rows = 0;

  bool looks() const { return memory_rows > 0; }
  // Rows of the output that the span refers to lie below.
  int end_row() const { return looks() ? memory_rows : offset + length; }
};

}  // namespace saccade
