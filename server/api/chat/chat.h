#pragma once

#include "server/api/service/call.h"

namespace saccade::api {

// POST /v1/chat/completions
http::HttpReply chat_completions(Call& call);

}  // namespace saccade::api
