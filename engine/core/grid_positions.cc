#include "engine/core/grid_positions.h"

#include <algorithm>

namespace saccade {
namespace {

bool has_grid(const MediaSpan& span) { return span.rows > 0 && span.columns > 0; }

// How many positions the text behind the span is after its first one.
int64_t extent(const MediaSpan& span) {
  const int64_t frame = int64_t{span.rows} * span.columns;
  const int64_t frames = (span.length + frame - 1) / frame;
  return std::max({frames, int64_t{span.rows}, int64_t{span.columns}});
}

}  // namespace

std::array<int64_t, 3> GridPositions::at(int64_t index) {
  for (; next_ < spans_.size() && spans_[next_].position + spans_[next_].length <= index; ++next_) {
    if (has_grid(spans_[next_])) shift_ += extent(spans_[next_]) - spans_[next_].length;
  }
  const int64_t place = index + shift_;
  if (next_ == spans_.size() || index < spans_[next_].position || !has_grid(spans_[next_])) {
    return {place, place, place};
  }
  const MediaSpan& span = spans_[next_];
  const int64_t start = span.position + shift_;
  const int64_t token = index - span.position, frame = int64_t{span.rows} * span.columns;
  return {start + token / frame, start + token % frame / span.columns,
          start + token % span.columns};
}

}  // namespace saccade
