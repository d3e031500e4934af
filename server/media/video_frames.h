#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/media/video_loader.h"

namespace saccade {

// One frame of a video as a picture of its own.
struct VideoFrame {
  std::string file;    // encoded: as it came, or a BMP file of what was decoded
  double seconds = 0;  // from the video's beginning
};

// What they may come to together.
struct FrameBudget {
  int frames = 0;
  int64_t pixels = 0;  // of decoded ones
};

// The frames that `request` chooses; where it says nothing, kFramesUnlessAsked spread evenly, or of
// frames that were given one by one, all. InvalidArgument: damage, or a limit.
inline constexpr int kFramesUnlessAsked = 8;
Result<std::vector<VideoFrame>> frames_of(VideoData data, std::optional<double> list_fps,
                                          FrameRequest request, const VideoLimits& limits,
                                          const FrameBudget& budget);

}  // namespace saccade
