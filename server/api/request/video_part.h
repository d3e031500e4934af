#pragma once

#include <string>

#include "server/api/fields/json.h"
#include "server/prompt/conversation.h"

namespace saccade::api {

// A `video_url` or `video` part of a message:
//   {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,..."}}
//   {"type": "video", "video": "data:..."}
//   {"type": "video", "frames": ["data:image/jpeg;base64,...", ...], "fps": 2}
// each with num_frames, fps, start and end, in the part or beside the url. `fps` of a list of
// frames is the rate they were taken at. InvalidArgument names the field.
Status read_video_part(const Json& part, const std::string& path, ContentPart& content);

// vLLM's media_io_kwargs {"video": {...}} and mm_processor_kwargs {...} of a request: for all its
// videos that say nothing themselves.
Status read_video_defaults(const Json& body, Conversation& conversation);

}  // namespace saccade::api
