#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "server/media/rgb_image.h"

namespace saccade {

// What one video may cost; held by probe_video and decode_frames.
struct VideoLimits {
  size_t max_bytes = size_t{48} << 20;    // encoded file
  double max_seconds = 3600;              // duration
  int max_frames = 200'000;               // in the file, sampled or not
  int64_t max_frame_pixels = 16'777'216;  // width x height
  double max_decode_seconds = 30;         // wall time, for reading and decoding
};

// What a video file says about itself before any frame is decoded.
struct VideoHeader {
  int width = 0;  // pixels
  int height = 0;
  double fps = 0;             // frames per second, on average
  std::vector<double> times;  // of each frame in the order they are shown, seconds from the first

  int frames() const { return static_cast<int>(times.size()); }
  double seconds() const { return times.empty() ? 0 : times.back() + 1 / fps; }
};

// Reads an MP4 (MOV), WebM (Matroska), AVI or GIF file from memory: the bytes decide which it is.
// Containers that refer to other files are not opened, and nothing but these bytes is ever read.
// InvalidArgument: another format, no picture stream, a codec we do not take, damage, or a limit.
Result<VideoHeader> probe_video(std::string_view bytes, const VideoLimits& limits);

// Decodes the frames with these indices (ascending, repetitions allowed, below header.frames()) and
// hands each to `take` in turn; an error of it ends the work. Frames between are skipped from key
// frame to key frame. InvalidArgument: damage, or the time limit.
Status decode_frames(std::string_view bytes, const VideoHeader& header,
                     std::span<const int> indices, const VideoLimits& limits,
                     const std::function<Status(RgbImage frame)>& take);

}  // namespace saccade
