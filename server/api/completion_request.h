#pragma once

#include <string>
#include <variant>
#include <vector>

#include "server/api/generation_options.h"
#include "server/api/structured_output.h"

namespace saccade::api {

// POST /v1/completions in native types.
struct CompletionRequest {
  std::string model;
  // Each prompt is text or token ids.
  std::vector<std::variant<std::string, std::vector<int32_t>>> prompts;
  bool echo = false;
  bool add_special_tokens = true;
  GenerationOptions options;
  std::optional<GrammarSpec> format;  // of the answer's text
};

Result<CompletionRequest> parse_completion_request(const Json& body, const ModelLimits& limits);

}  // namespace saccade::api
