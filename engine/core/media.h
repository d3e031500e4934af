#pragma once

#include <memory>
#include <vector>

#include "engine/core/types.h"

namespace saccade {

enum class MediaKind { kImage, kVideo };

// One picture (or list of frames) as the vision encoder takes it.
struct MediaItem {
  MediaKind kind = MediaKind::kImage;
  std::vector<float> pixels;  // [frames, channels, height, width], normalised
  int frames = 1;
  int channels = 3;
  int height = 0;  // after preprocessing, in pixels
  int width = 0;
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
// visual tokens of encoder input `media`.
struct MediaSpan {
  int position = 0;
  int length = 0;
  int media = 0;   // index into Request::media
  int offset = 0;  // first row of that input's output
};

}  // namespace saccade
