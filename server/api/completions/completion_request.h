#pragma once

#include <string>
#include <vector>

#include "server/api/request/generation_options.h"
#include "server/api/request/prompt_input.h"
#include "server/api/request/structured_output.h"

namespace saccade::api {

// POST /v1/completions in native types.
struct CompletionRequest {
  std::string model;
  std::vector<TextOrIds> prompts;
  bool echo = false;
  bool echo_logprobs = false;    // the prompt's tokens are in `logprobs`, too
  bool logprobs = false;         // in the answer
  bool prompt_logprobs = false;  // in the answer
  int choices = 1;               // returned for each prompt, of options.n generated ones
  int max_tokens = 16;           // shortened to what fits where options.max_tokens names none
  bool add_special_tokens = true;
  GenerationOptions options;
  std::optional<GrammarSpec> format;  // of the answer's text
};

Result<CompletionRequest> parse_completion_request(const Json& body, const ModelLimits& limits);

}  // namespace saccade::api
