#pragma once

#include "server/api/call.h"

namespace saccade::api {

// POST /v1/chat/completions
http::HttpReply chat_completions(Call& call);

}  // namespace saccade::api
