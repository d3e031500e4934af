#pragma once

#include <ATen/core/Tensor.h>

#include "engine/core/media.h"

namespace saccade {

// How LLaVA-NeXT and LLaVA-OneVision (transformers' pack_image_features) make one list of visual
// tokens of the overview of a picture and the tiles it was cut into: the tiles' features side by
// side, what lies on padding cut off, a newline behind each row, all behind those of the overview.
struct AnyresPacking {
  int side = 0;       // rows and columns of one tile's features
  int max_tiles = 0;  // more than that many tiles' features are scaled down; 0: never

  // Visual tokens of a picture. Pure.
  int tokens(const MediaLayout& layout) const;

  // features [parts, side * side, H] of one item, newline [H] -> [tokens, H]
  at::Tensor pack(const at::Tensor& features, const MediaItem& item,
                  const at::Tensor& newline) const;

 private:
  // The part of the joined features that shows the picture, and the size it is scaled to.
  struct Window {
    int top = 0;
    int left = 0;
    int height = 0;
    int width = 0;
    int scaled_height = 0;
    int scaled_width = 0;
  };
  Window window(int rows, int columns, ImageSize original) const;
};

}  // namespace saccade
