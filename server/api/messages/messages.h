#pragma once

#include <string>

#include "server/api/service/call.h"

namespace saccade::api {

// POST /v1/messages: Anthropic's API.
http::HttpReply create_message(Call& call);
// POST /v1/messages/count_tokens
http::HttpReply count_message_tokens(Call& call);

// {"type": "error", "error": {"type", "message"}, "request_id"}: how Anthropic's clients read a
// failure.
std::string message_error_body(int status, const std::string& message, const std::string& param,
                               const std::string& request_id);
// A failure on a route that OpenAI's and Anthropic's clients share, as the one that asked reads it.
http::HttpReply error_response(const http::HttpRequest& request, const Status& status);

}  // namespace saccade::api
