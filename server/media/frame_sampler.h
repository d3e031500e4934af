#pragma once

#include <climits>
#include <optional>
#include <span>
#include <vector>

#include "engine/core/model_info.h"
#include "engine/core/status.h"

namespace saccade {

// What a request may say about which frames of a video are looked at.
struct FrameRequest {
  static constexpr int kAll = INT_MAX;

  std::optional<int> num_frames = {};  // spread evenly
  std::optional<double> fps = {};      // frames per second of the video; excludes num_frames
  std::optional<double> start = {};    // seconds; frames before it are left out
  std::optional<double> end = {};      // seconds; frames from it on are left out

  bool empty() const { return !num_frames && !fps && !start && !end; }
};

// Indices, ascending, of the frames that are looked at: of those within [start, end) as the request
// asks, else by the family's own rule. `times` are the frames' times in seconds, `fps` their
// average rate. More frames than there are: all of them. InvalidArgument when none are left, or
// another number than the one the family has room for.
Result<std::vector<int>> sample_frames(const FrameRule& rule, const FrameRequest& request,
                                       std::span<const double> times, double fps);

}  // namespace saccade
