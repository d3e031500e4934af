#include "server/api/request/video_part.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "server/api/fields/fields.h"

namespace saccade::api {
namespace {

constexpr int kMostFrames = 4096;  // that a request may ask for, or list
constexpr double kFastest = 1000, kLongest = 1e6;

Status wrong(const std::string& path, const std::string& problem) {
  return invalid_argument(path + " " + problem, path);
}

// The member, or null when it is absent or null.
const Json* find(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

Status read_seconds(const Json& object, const std::string& path, const char* name,
                    std::optional<double>& value) {
  const Json* json = find(object, name);
  if (json == nullptr) return {};
  const double read = json->is_number() ? json->get<double>() : -1;
  if (!(read >= 0 && read <= kLongest)) {
    return wrong(path + "." + name, "must be a number of seconds, 0 or more");
  }
  value = read;
  return {};
}

// num_frames, fps, start and end where the object has them.
Status read_sampling(const Json& object, const std::string& path, bool with_fps,
                     FrameRequest& request) {
  if (const Json* count = find(object, "num_frames")) {
    const int64_t read = count->is_number_integer() ? count->get<int64_t>() : 0;
    if (read != -1 && (read < 1 || read > kMostFrames)) {
      return wrong(path + ".num_frames", "must be an integer from 1 to " +
                                             std::to_string(kMostFrames) + ", or -1 for all");
    }
    request.num_frames = read == -1 ? FrameRequest::kAll : static_cast<int>(read);
  }
  if (const Json* fps = with_fps ? find(object, "fps") : nullptr) {
    const double read = fps->is_number() ? fps->get<double>() : 0;
    if (!(read > 0 && read <= kFastest)) {
      return wrong(path + ".fps", "must be a number greater than 0");
    }
    request.fps = read;
  }
  if (Status status = read_seconds(object, path, "start", request.start); !status.ok()) {
    return status;
  }
  if (Status status = read_seconds(object, path, "end", request.end); !status.ok()) return status;
  if (request.end && *request.end <= request.start.value_or(0)) {
    return wrong(path + ".end", "must be greater than start");
  }
  return {};
}

Status check_exclusive(const FrameRequest& request, const std::string& path) {
  if (!request.num_frames || !request.fps) return {};
  return wrong(path + ".fps", "and num_frames exclude each other");
}

// A URL as a string, or an object (or image_url part) that holds one.
const Json* url_of(const Json& value) {
  if (value.is_string()) return &value;
  if (!value.is_object()) return nullptr;
  if (const Json* inner = find(value, "image_url")) return url_of(*inner);
  const Json* url = find(value, "url");
  return url != nullptr && url->is_string() ? url : nullptr;
}

Status read_frames(const Json& part, const std::string& path, ContentPart& content) {
  const Json& frames = *find(part, "frames");
  content.param = path + ".frames";
  if (!frames.is_array() || frames.empty() || frames.size() > kMostFrames) {
    return wrong(content.param,
                 "must be an array of 1 to " + std::to_string(kMostFrames) + " pictures");
  }
  for (size_t i = 0; i < frames.size(); ++i) {
    const Json* url = url_of(frames[i]);
    if (url == nullptr) {
      return wrong(element_path(content.param, i), "must be a data: URL");
    }
    content.frames.push_back(url->get<std::string>());
  }
  FrameRequest rate;
  if (Status status = read_sampling(part, path, /*with_fps=*/true, rate); !status.ok()) {
    return status;
  }
  content.list_fps = rate.fps;
  return read_sampling(part, path, /*with_fps=*/false, content.sampling);
}

Status read_url(const Json& part, const std::string& path, const char* name, ContentPart& content) {
  const Json* value = find(part, name);
  content.param = path + "." + name;
  if (value == nullptr) return wrong(content.param, "is missing");
  if (Status status = read_sampling(part, path, true, content.sampling); !status.ok()) {
    return status;
  }
  if (value->is_object()) {
    const std::string outer = content.param;
    if (Status status = read_sampling(*value, outer, true, content.sampling); !status.ok()) {
      return status;
    }
    content.param = outer + ".url";
    value = find(*value, "url");
  }
  if (Status status = check_exclusive(content.sampling, path); !status.ok()) return status;
  if (value == nullptr) return wrong(content.param, "is missing");
  if (!value->is_string()) return wrong(content.param, "must be a string");
  content.text = value->get<std::string>();
  return {};
}

// A processor's other settings (min_pixels, size, ...) are the checkpoint's.
Status check_settings(const Json& kwargs, const std::string& path) {
  constexpr std::array<std::string_view, 5> kKnown = {"num_frames", "fps", "start", "end",
                                                      "do_sample_frames"};
  for (const auto& [name, value] : kwargs.items()) {
    if (value.is_null() || std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end()) continue;
    return wrong(path + "." + name.substr(0, 64), "is not supported");
  }
  const Json* sample = find(kwargs, "do_sample_frames");  // num_frames and fps decide
  if (sample != nullptr && !sample->is_boolean()) {
    return wrong(path + ".do_sample_frames", "must be a boolean");
  }
  return {};
}

}  // namespace

Status read_video_part(const Json& part, const std::string& path, ContentPart& content) {
  content.kind = ContentPart::Kind::kVideo;
  if (find(part, "frames") != nullptr) return read_frames(part, path, content);
  return read_url(part, path, part.at("type") == "video" ? "video" : "video_url", content);
}

Status read_video_defaults(const Json& body, Conversation& conversation) {
  FrameRequest defaults;
  if (const Json* kwargs = find(body, "mm_processor_kwargs")) {
    if (!kwargs->is_object()) return wrong("mm_processor_kwargs", "must be an object");
    if (Status status = check_settings(*kwargs, "mm_processor_kwargs"); !status.ok()) return status;
    const Status status = read_sampling(*kwargs, "mm_processor_kwargs", true, defaults);
    if (!status.ok()) return status;
  }
  if (const Json* kwargs = find(body, "media_io_kwargs")) {
    if (!kwargs->is_object()) return wrong("media_io_kwargs", "must be an object");
    if (const Json* video = find(*kwargs, "video")) {
      if (!video->is_object()) return wrong("media_io_kwargs.video", "must be an object");
      const Status status = read_sampling(*video, "media_io_kwargs.video", true, defaults);
      if (!status.ok()) return status;
    }
  }
  if (Status status = check_exclusive(defaults, "media_io_kwargs.video"); !status.ok()) {
    return status;
  }
  for (ChatMessage& message : conversation.messages) {
    for (ContentPart& part : message.parts) {
      if (part.kind == ContentPart::Kind::kVideo && part.sampling.empty()) part.sampling = defaults;
    }
  }
  return {};
}

}  // namespace saccade::api
