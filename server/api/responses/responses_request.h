#pragma once

#include <string>
#include <vector>

#include "server/api/request/generation_options.h"
#include "server/api/request/tools.h"
#include "server/prompt/conversation.h"

namespace saccade::api {

// The output of a call that the input does not hold: it is one of a turn before.
struct EarlierCall {
  std::string id;
  std::string param;  // the path of the id
};

// POST /v1/responses in native types.
struct ResponsesRequest {
  std::string model;
  Conversation conversation;  // of this request alone: what came before is in the store
  std::string instructions;   // of this turn; not kept for the next
  std::string previous_response_id;
  std::vector<EarlierCall> earlier_calls;
  bool store = true;
  GenerationOptions options;
  std::optional<GrammarSpec> format;  // of the answer's text
  ToolOptions tools;
  bool drops_oldest = false;  // truncation "auto"
  Json input;                 // as items, for GET .../input_items
  Json echoed;                // the fields that a response repeats, as sent
};

Result<ResponsesRequest> parse_responses_request(const Json& body, const ModelLimits& limits);

}  // namespace saccade::api
