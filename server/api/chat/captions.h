#pragma once

#include "server/api/chat/chat_request.h"
#include "server/api/service/call.h"

namespace saccade::api {

// Puts words in the place of the conversation's videos: what the model says of each chosen frame,
// with its time. All frames of a request are told at once, each a prompt of its own. Blocks until
// they are; errors name the video.
Status tell_videos(Call& call, ChatRequest& chat);

}  // namespace saccade::api
