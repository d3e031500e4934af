#include "engine/core/grid_positions.h"

#include <algorithm>

namespace saccade {
namespace {

bool has_grid(const MediaSpan& span) { return span.grid.rows > 0 && span.grid.columns > 0; }

int64_t frame_tokens(const MediaSpan& span) { return int64_t{span.grid.rows} * span.grid.columns; }

// Position of a frame on its axis, from the span's first. In float32, as the reference multiplies.
int64_t frame_place(const MediaSpan& span, int64_t frame) {
  return static_cast<int64_t>(static_cast<float>(frame) * span.grid.frame_step);
}

// How many positions the span takes on its longest axis.
int64_t reach(const MediaSpan& span) {
  const int64_t last = (span.length - 1) / frame_tokens(span);
  return std::max(
      {frame_place(span, last) + 1, int64_t{span.grid.rows}, int64_t{span.grid.columns}});
}

}  // namespace

void GridPositions::pass_spans_before(int64_t index) {
  for (; next_ < spans_.size(); ++next_) {
    const MediaSpan& span = spans_[next_];
    if (span.position + span.length > index) return;
    if (!has_grid(span)) continue;
    const int64_t extent = span.grid.extent > 0 ? span.grid.extent : reach(span);
    furthest_ = std::max(furthest_, span.position + shift_ + reach(span));
    shift_ += extent - span.length;
  }
}

int64_t GridPositions::jump() const {
  return std::max<int64_t>(0, furthest_ - (prompt_length_ + shift_));
}

int64_t GridPositions::jump(std::span<const MediaSpan> spans, int64_t prompt_length) {
  GridPositions places(spans, prompt_length);
  places.pass_spans_before(prompt_length);
  return places.jump();
}

std::array<int64_t, 3> GridPositions::at(int64_t index) {
  pass_spans_before(index);
  const int64_t place = index + shift_ + (index >= prompt_length_ ? jump() + answer_shift_ : 0);
  if (next_ == spans_.size() || index < spans_[next_].position || !has_grid(spans_[next_])) {
    return {place, place, place};
  }
  const MediaSpan& span = spans_[next_];
  const int64_t start = span.position + shift_;
  const int64_t token = index - span.position, frame = frame_tokens(span);
  return {start + frame_place(span, token / frame), start + token % frame / span.grid.columns,
          start + token % span.grid.columns};
}

}  // namespace saccade
