#pragma once

#include <optional>
#include <string>

#include "server/api/request/generation_options.h"
#include "server/api/request/tools.h"
#include "server/prompt/conversation.h"

namespace saccade::api {

// POST /v1/messages (Anthropic's API) in native types.
struct MessagesRequest {
  std::string model;
  Conversation conversation;  // with the system text in front
  GenerationOptions options;
  std::optional<GrammarSpec> format;  // of the answer's text
  ToolOptions tools;
};

Result<MessagesRequest> parse_messages_request(const Json& body, const ModelLimits& limits);
// POST /v1/messages/count_tokens: the same without max_tokens.
Result<MessagesRequest> parse_count_request(const Json& body, const ModelLimits& limits);

}  // namespace saccade::api
