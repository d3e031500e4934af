#include "server/media/frame_sampler.h"

#include <algorithm>

namespace saccade {
namespace {

// transformers' arange(0, total, total / n).astype(int), taken to exactly n: in doubles numpy's
// arange has one entry too many for some n.
std::vector<int> spread(int total, int count) {
  std::vector<int> indices;
  for (int i = 0; i < count; ++i) {
    indices.push_back(static_cast<int>(int64_t{i} * total / count));
  }
  return indices;
}

}  // namespace

Result<std::vector<int>> sample_frames(const FrameRule& rule, const FrameRequest& request,
                                       std::span<const double> times, double fps) {
  const auto first = std::lower_bound(times.begin(), times.end(), request.start.value_or(0));
  const auto last = request.end ? std::lower_bound(first, times.end(), *request.end) : times.end();
  const auto total = static_cast<int>(last - first);
  if (total == 0) return invalid_argument("no frame of the video lies between start and end");
  int count = total;
  if (request.num_frames) {
    count = *request.num_frames;
  } else if (request.fps || rule.fps > 0) {
    // int(total / fps * wanted), in the reference's order of operations.
    const double wanted = request.fps.value_or(rule.fps);
    count = static_cast<int>(std::clamp(total / fps * wanted, 1.0, 1e9));
    if (rule.max_frames > 0) count = std::min(count, rule.max_frames);
  } else if (rule.num_frames > 0) {
    count = rule.num_frames;
  }
  std::vector<int> indices = spread(total, std::min(count, total));
  const auto offset = static_cast<int>(first - times.begin());
  for (int& index : indices) index += offset;
  return indices;
}

}  // namespace saccade
