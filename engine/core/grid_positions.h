#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "engine/core/media.h"

namespace saccade {

// Positions of a sequence's tokens on the three axes of M-RoPE (Wang et al. 2024, "Qwen2-VL";
// transformers' get_rope_index): frame, row and column. Text counts up on all three at once. Visual
// tokens of a span with a grid start where the text left off and count on each axis alone; the text
// behind them goes on after the largest of these. A sequence therefore has positions beyond its
// prompt that are its indices plus a constant.
class GridPositions {
 public:
  // `spans` are those of the whole request and outlive this.
  explicit GridPositions(std::span<const MediaSpan> spans) : spans_(spans) {}

  // Of the token with `index` tokens before it. Indices must not fall from call to call.
  std::array<int64_t, 3> at(int64_t index);

 private:
  std::span<const MediaSpan> spans_;
  size_t next_ = 0;    // first span that does not end before the last index asked for
  int64_t shift_ = 0;  // position minus index of text after the spans before next_
};

}  // namespace saccade
