#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "engine/core/media.h"

namespace saccade {

// Positions of a sequence's tokens on the three axes of M-RoPE (Wang et al. 2024, "Qwen2-VL";
// transformers' get_rope_index): frame, row and column. Text counts up on all three at once. Visual
// tokens of a span with a grid start where the text left off and count on each axis alone; the text
// behind them goes on after the largest of these, or where the span says. The answer goes on after
// the largest position of the prompt: its positions are its indices plus a constant.
class GridPositions {
 public:
  // `spans` are those of the whole request and outlive this; its prompt has `prompt_length` tokens.
  // `answer_shift` is added to the answer's positions (KeyRules).
  GridPositions(std::span<const MediaSpan> spans, int64_t prompt_length, int64_t answer_shift = 0)
      : spans_(spans), prompt_length_(prompt_length), answer_shift_(answer_shift) {}

  // Of the token with `index` tokens before it. Indices must not fall from call to call.
  std::array<int64_t, 3> at(int64_t index);

  // How far the answer's first position lies behind the one that the prompt's text would go on
  // with: more than 0 where a video's last frames reach beyond the text behind it.
  static int64_t jump(std::span<const MediaSpan> spans, int64_t prompt_length);

 private:
  void pass_spans_before(int64_t index);
  int64_t jump() const;

  std::span<const MediaSpan> spans_;
  int64_t prompt_length_;
  int64_t answer_shift_;
  size_t next_ = 0;       // first span that does not end before the last index asked for
  int64_t shift_ = 0;     // position minus index of text after the spans before next_
  int64_t furthest_ = 0;  // behind the largest position of these spans
};

}  // namespace saccade
