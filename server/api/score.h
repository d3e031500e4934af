#pragma once

#include <vector>

#include "server/api/request/prompt_input.h"
#include "server/api/service/call.h"

namespace saccade::api {

// POST /v1/score in native types: how likely is each option as the continuation of the prompt?
struct ScoreRequest {
  std::string model;
  std::optional<Conversation> conversation;  // else `prompt`
  TextOrIds prompt;
  bool add_special_tokens = true;  // to `prompt`; options never get any
  std::vector<TextOrIds> options;
  bool token_logprobs = false;  // of each token of an option, in the answer
  std::string cache_salt;       // Request::cache_salt
};

Result<ScoreRequest> parse_score_request(const Json& body, const ModelLimits& limits);

http::HttpReply score(Call& call);

}  // namespace saccade::api
