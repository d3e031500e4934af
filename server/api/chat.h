#pragma once

#include "server/api/service.h"
#include "server/http/http_server.h"

namespace saccade::api {

// POST /v1/chat/completions
http::HttpReply chat_completions(Service& service, http::HttpRequest& request,
                                 http::Client& client);

}  // namespace saccade::api
