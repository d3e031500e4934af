#include "server/media/video_loader.h"

#include <algorithm>

#include "server/ascii_case.h"
#include "server/media/image_decoder.h"
#include "server/media/media_loader.h"
#include "server/media/sha256.h"

namespace saccade {
namespace {

constexpr int kMaxListedFrames = 4096;

bool is_video_type(std::string_view type) {
  static constexpr std::string_view kTypes[] = {
      "video/mp4",       "video/webm",  "video/x-matroska", "video/quicktime",
      "video/x-msvideo", "video/avi",   "video/msvideo",    "image/gif",
      "video/vnd.avi",   "video/x-m4v", "video/gif"};
  return std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes);
}

// Everything between the commas, each a picture in base64.
Result<VideoData> decode_frame_list(std::string_view list, const MediaLimits& limits) {
  VideoData data;
  while (true) {
    const size_t comma = list.find(',');
    if (data.frames.size() == kMaxListedFrames) {
      return invalid_argument("the list of frames is longer than " +
                              std::to_string(kMaxListedFrames));
    }
    Result<std::string> frame = decode_base64(list.substr(0, comma), limits.max_image_bytes);
    if (frame.ok() && frame->empty()) return invalid_argument("a frame of the list holds no data");
    if (!frame) {
      return invalid_argument("frame " + std::to_string(data.frames.size()) + ": " +
                              frame.status().message());
    }
    data.frames.push_back(*std::move(frame));
    if (comma == std::string_view::npos) return data;
    list.remove_prefix(comma + 1);
  }
}

Status in_frame(size_t index, const Status& status) {
  return Status(status.code(), "frame " + std::to_string(index) + ": " + status.message());
}

Result<MediaLayout> common_layout(const ProbedVideo& video, const ImageProcessor& processor) {
  std::vector<ImageSize> sizes = {{video.header.height, video.header.width}};
  if (!video.pictures.empty()) sizes.clear();
  for (const ImageHeader& picture : video.pictures) {
    sizes.push_back({picture.height, picture.width});
  }
  Result<MediaLayout> first = processor.layout(sizes.front());
  if (!first) return first;
  for (size_t i = 1; i < sizes.size(); ++i) {
    const Result<MediaLayout> other = processor.layout(sizes[i]);
    if (!other) return in_frame(i, other.status());
    if (other->part != first->part) {
      return invalid_argument("the frames of a video must have one size; frame " +
                              std::to_string(i) + " has another");
    }
  }
  first->kind = MediaKind::kVideo;
  return first;
}

// The times of frames that were given one by one.
VideoHeader list_header(size_t frames, double fps) {
  VideoHeader header;
  header.fps = fps;
  for (size_t i = 0; i < frames; ++i) header.times.push_back(static_cast<double>(i) / fps);
  return header;
}

// All that were given, unless the prompt has room for a certain number.
FrameRule list_rule(const FrameRule& rule) {
  if (rule.exact) return rule;
  FrameRule all;
  if (rule.spread == FrameRule::Spread::kGroups) all.spread = rule.spread;
  all.group = rule.group;
  return all;
}

// As the reference dates frames: by their number. A list's last frame ends it, for want of a rate
// that is known to be the film's.
void tell_time(ProbedVideo& video, std::optional<double> asked_fps, bool listed) {
  MediaLayout& layout = video.layout;
  const double fps = video.header.fps, total = video.header.frames();
  layout.parts = static_cast<int>(video.indices.size());
  for (const int index : video.indices) layout.times.push_back(index / fps);
  layout.seconds = listed ? layout.times.back() : total / fps;
  layout.fps = layout.parts / total * fps;
  layout.asked_fps = asked_fps.value_or(0);
}

Status keep_chosen(ProbedVideo& video, const MediaLimits& limits) {
  std::vector<std::string> chosen;
  for (const int index : video.indices) {
    const Result<ImageHeader> header = probe_image(video.data.frames[index], limits);
    if (!header) return in_frame(static_cast<size_t>(index), header.status());
    video.pictures.push_back(*header);
    chosen.push_back(std::move(video.data.frames[index]));
  }
  video.data.frames = std::move(chosen);
  return {};
}

ContentHash hash_of(const ProbedVideo& video, const ImageProcessor& processor) {
  ContentHash files = sha256(video.data.file);
  for (const std::string& frame : video.data.frames) {
    files = sha256({as_bytes(files), as_bytes(sha256(frame))});
  }
  const std::string_view indices(reinterpret_cast<const char*>(video.indices.data()),
                                 video.indices.size() * sizeof(int));
  return processor.media_hash(sha256({"video", as_bytes(files), indices}));
}

}  // namespace

Result<VideoData> decode_video_url(std::string_view url, const VideoLimits& video,
                                   const MediaLimits& picture) {
  if (!is_data_url(url)) {
    return invalid_argument(
        "a video must be a data: URL (data:video/mp4;base64,...); addresses are not fetched and "
        "local paths are never opened");
  }
  const Result<DataUrl> parts = split_data_url(url);
  if (!parts) return parts.status();
  const std::string header = lower_case(parts->header);
  const std::string type = header.substr(0, header.find(';'));
  if (!header.ends_with(";base64")) {
    return invalid_argument("the data: URL must be base64 encoded (data:video/mp4;base64,...)");
  }
  if (type == "video/jpeg") return decode_frame_list(parts->data, picture);
  if (!is_video_type(type)) {
    return invalid_argument(
        "unsupported media type in the data: URL; supported are video/mp4, video/webm, "
        "video/x-msvideo, video/x-matroska, video/quicktime, image/gif, and video/jpeg for a list "
        "of frames");
  }
  Result<std::string> bytes = decode_base64(parts->data, video.max_bytes);
  if (!bytes) return bytes.status();
  if (bytes->empty()) return invalid_argument("the data: URL holds no data");
  VideoData data;
  data.file = *std::move(bytes);
  return data;
}

int64_t ProbedVideo::pixels() const {
  if (pictures.empty()) {
    return static_cast<int64_t>(indices.size()) * header.width * header.height;
  }
  int64_t sum = 0;
  for (const ImageHeader& picture : pictures) {
    sum += int64_t{picture.stored_width} * picture.stored_height;
  }
  return sum;
}

Result<ProbedVideo> probe_video_data(VideoData data, std::optional<double> list_fps,
                                     const FrameRule& rule, const FrameRequest& request,
                                     const VideoLimits& video, const MediaLimits& picture,
                                     const ImageProcessor& processor) {
  ProbedVideo probed;
  probed.data = std::move(data);
  const bool listed = !probed.data.frames.empty();
  if (listed) {
    probed.header = list_header(probed.data.frames.size(), list_fps.value_or(rule.list_fps));
  } else {
    Result<VideoHeader> header = probe_video(probed.data.file, video);
    if (!header) return header.status();
    probed.header = *std::move(header);
  }
  Result<std::vector<int>> indices = sample_frames(listed ? list_rule(rule) : rule, request,
                                                   probed.header.times, probed.header.fps);
  if (!indices) return indices.status();
  probed.indices = *std::move(indices);
  if (listed) {
    if (Status status = keep_chosen(probed, picture); !status.ok()) return status;
  }
  Result<MediaLayout> layout = common_layout(probed, processor);
  if (!layout) return layout.status();
  probed.layout = *std::move(layout);
  tell_time(probed, listed ? list_fps : request.fps, listed);
  return probed;
}

Result<MediaItem> load_video(const ProbedVideo& video, const VideoLimits& limits,
                             const ImageProcessor& processor) {
  MediaItem item;
  item.kind = MediaKind::kVideo;
  item.height = video.layout.part.height;
  item.width = video.layout.part.width;
  item.original_height = video.layout.original.height;
  item.original_width = video.layout.original.width;
  item.hash = hash_of(video, processor);
  item.frames = 0;
  const auto take = [&](const RgbImage& frame) {
    processor.append_pixels(frame, item.pixels);
    ++item.frames;
    return Status();
  };
  item.pixels.reserve(static_cast<size_t>(video.layout.parts) * 3 * item.height * item.width);
  if (video.data.frames.empty()) {
    const Status status = decode_frames(video.data.file, video.header, video.indices, limits, take);
    if (!status.ok()) return status;
    return item;
  }
  for (size_t i = 0; i < video.data.frames.size(); ++i) {
    Result<RgbImage> frame = decode_image(video.data.frames[i], video.pictures[i]);
    if (!frame) return in_frame(static_cast<size_t>(video.indices[i]), frame.status());
    if (Status status = take(*frame); !status.ok()) return status;
  }
  return item;
}

}  // namespace saccade
