#include "server/media/frame_sampler.h"

#include <algorithm>
#include <cmath>

namespace saccade {
namespace {

// The frames that may be looked at, and their average rate.
struct Clip {
  int total = 0;
  double fps = 0;
};

// transformers' arange(0, total, total / n).astype(int), taken to exactly n: in doubles numpy's
// arange has one entry too many for some n.
std::vector<int> spread(int total, int count) {
  std::vector<int> indices;
  for (int i = 0; i < count; ++i) {
    indices.push_back(static_cast<int>(int64_t{i} * total / count));
  }
  return indices;
}

// The same in torch's float32, which beyond 2^14 frames rounds up what lies just below a whole one.
std::vector<int> spread_in_float(int total, int count) {
  const double step = static_cast<double>(total) / count;
  std::vector<int> indices;
  for (int i = 0; i < count; ++i) {
    indices.push_back(std::min(total - 1, static_cast<int>(static_cast<float>(i * step))));
  }
  return indices;
}

std::vector<int> even(const FrameRule& rule, const FrameRequest& request, const Clip& clip) {
  int count = clip.total;
  if (request.num_frames) {
    count = *request.num_frames;
  } else if (request.fps || rule.fps > 0) {
    // int(total / fps * wanted), in the reference's order of operations.
    const double wanted = request.fps.value_or(rule.fps);
    count = static_cast<int>(std::clamp(clip.total / clip.fps * wanted, 1.0, 1e9));
    if (rule.max_frames > 0) count = std::min(count, rule.max_frames);
  } else if (rule.num_frames > 0) {
    count = rule.num_frames;
  }
  return spread(clip.total, std::min(count, clip.total));
}

// Qwen2VLVideoProcessor.sample_frames. A count that it would refuse becomes the nearest one that
// the video has.
std::vector<int> in_groups(const FrameRule& rule, const FrameRequest& request, const Clip& clip) {
  const int group = rule.group;
  double count = clip.total;
  if (request.num_frames || (!request.fps && rule.num_frames > 0)) {
    // Python's round(): to the even neighbour.
    count = std::nearbyint(request.num_frames.value_or(rule.num_frames) / double(group)) * group;
  } else if (request.fps || rule.fps > 0) {
    const int most = std::min(rule.max_frames, clip.total) / group * group;
    count = clip.total / clip.fps * request.fps.value_or(rule.fps);
    count = std::min({std::max<double>(count, rule.min_frames), double(most), double(clip.total)});
    count = std::floor(count / group) * group;
  }
  if (count < 1) count = group;
  return spread_in_float(clip.total, static_cast<int>(std::min<double>(count, clip.total)));
}

// numpy.linspace(first, last, count, dtype=int), each index once.
std::vector<int> linspace(int first, int last, int count) {
  const double step = count > 1 ? double(last - first) / (count - 1) : 0;
  std::vector<int> indices;
  for (int i = 0; i < count; ++i) {
    const bool end = count > 1 && i == count - 1;
    indices.push_back(end ? last : static_cast<int>(std::floor(i * step + first)));
  }
  indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
  return indices;
}

// SmolVLMVideoProcessor.sample_frames.
std::vector<int> between_ends(const FrameRule& rule, const FrameRequest& request,
                              const Clip& clip) {
  constexpr double kSkippedSeconds = 1;
  if (request.num_frames == FrameRequest::kAll) return spread(clip.total, clip.total);
  const int most = request.num_frames.value_or(rule.num_frames > 0 ? rule.num_frames : clip.total);
  const double fps = request.fps.value_or(rule.fps > 0 ? rule.fps : clip.fps);
  const double seconds = clip.total / clip.fps;
  const double wanted = std::nearbyint(fps * seconds);
  int first = 0, last = clip.total - 1;
  if (seconds - 2 * kSkippedSeconds > most * fps) {
    first = static_cast<int>(kSkippedSeconds * clip.fps);
    last = std::min(last, static_cast<int>(clip.total - kSkippedSeconds * clip.fps));
  }
  if (first >= last) first = 0, last = clip.total - 1;
  const double count = std::clamp<double>(wanted, 1, std::min(most, clip.total));
  return linspace(first, last, static_cast<int>(count));
}

std::vector<int> chosen(const FrameRule& rule, const FrameRequest& request, const Clip& clip) {
  switch (rule.spread) {
    case FrameRule::Spread::kGroups:
      return in_groups(rule, request, clip);
    case FrameRule::Spread::kEnds:
      return between_ends(rule, request, clip);
    case FrameRule::Spread::kEven:
      break;
  }
  return even(rule, request, clip);
}

}  // namespace

Result<std::vector<int>> sample_frames(const FrameRule& rule, const FrameRequest& request,
                                       std::span<const double> times, double fps) {
  const auto first = std::lower_bound(times.begin(), times.end(), request.start.value_or(0));
  const auto last = request.end ? std::lower_bound(first, times.end(), *request.end) : times.end();
  const auto total = static_cast<int>(last - first);
  if (total == 0) return invalid_argument("no frame of the video lies between start and end");
  std::vector<int> indices = chosen(rule, request, {total, fps});
  if (rule.exact && static_cast<int>(indices.size()) != rule.num_frames) {
    return invalid_argument("this model looks at exactly " + std::to_string(rule.num_frames) +
                            " frames of a video; this one gives " + std::to_string(indices.size()));
  }
  const auto offset = static_cast<int>(first - times.begin());
  for (int& index : indices) index += offset;
  return indices;
}

}  // namespace saccade
