#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/media.h"
#include "engine/core/model_info.h"
#include "engine/core/status.h"
#include "server/media/frame_sampler.h"
#include "server/media/image_probe.h"
#include "server/media/image_processor.h"
#include "server/media/media_limits.h"
#include "server/media/video_decoder.h"

namespace saccade {

// What a video's data: URL holds: one video file, or the frames one by one.
struct VideoData {
  std::string file;
  std::vector<std::string> frames;  // encoded pictures
};

// `data:video/mp4;base64,DATA` (also webm, x-matroska, quicktime, x-msvideo, avi and image/gif), or
// vLLM's `data:video/jpeg;base64,F1,F2,...`, a list of JPEG files. InvalidArgument as
// decode_data_url.
Result<VideoData> decode_video_url(std::string_view url, const VideoLimits& video,
                                   const MediaLimits& picture);

// A video whose header has been read and whose frames have been chosen; nothing is decoded yet.
struct ProbedVideo {
  VideoData data;  // of given frames the chosen ones alone
  VideoHeader header;
  std::vector<ImageHeader> pictures;  // of data.frames
  std::vector<int> indices;           // of the chosen frames, ascending
  MediaLayout layout;

  int64_t pixels() const;  // of all chosen frames together, as stored
};

// Frames given one by one are all looked at unless the request asks otherwise; `list_fps` is their
// rate (it dates them; absent: the rule's). InvalidArgument: damage, a limit, or frames that do not
// come out alike.
Result<ProbedVideo> probe_video_data(VideoData data, std::optional<double> list_fps,
                                     const FrameRule& rule, const FrameRequest& request,
                                     const VideoLimits& video, const MediaLimits& picture,
                                     const ImageProcessor& processor);

// Decodes the chosen frames and turns each into pixels as it comes: of the decoded pictures only
// one exists at a time.
Result<MediaItem> load_video(const ProbedVideo& video, const VideoLimits& limits,
                             const ImageProcessor& processor);

}  // namespace saccade
