#pragma once

#include <string>

#include "server/api/request/generation_options.h"
#include "server/api/request/structured_output.h"
#include "server/api/request/tools.h"
#include "server/prompt/conversation.h"

namespace saccade::api {

// media_mode "captions": the model tells what it sees in each frame of a video, and answers from
// these words (VideoChat-Text, Li et al. 2023).
struct CaptionOptions {
  std::string prompt = "Describe the picture in one sentence.";
  int max_tokens = 64;  // of one caption
};

// reasoning.mode "fixed": so many steps of reasoning, then the answer.
struct FixedSteps {
  int steps = 2;
  std::string step_prefix = "Step {n}:";  // each begins with it, {n} being its number
  std::string answer_prefix = "Answer:";
  std::string stop = "\n";  // ends a step
  // Of one step. None: 200, or what leaves room for the others and the answer.
  std::optional<int> max_tokens;
};

// POST /v1/chat/completions in native types.
struct ChatRequest {
  std::string model;  // empty: whatever is served
  Conversation conversation;
  bool echo = false;              // the answer begins with the message that it continues
  bool include_reasoning = true;  // the answer shows it
  GenerationOptions options;
  std::optional<GrammarSpec> format;  // of the answer's text
  ToolOptions tools;
  std::optional<FixedSteps> steps;         // none: the model reasons as it likes
  std::optional<CaptionOptions> captions;  // none: the model looks at videos itself
};

Result<ChatRequest> parse_chat_request(const Json& body, const ModelLimits& limits);

// `messages` and what concerns the template; shared with /tokenize. Mistakes are kept in `fields`.
Conversation read_conversation(Fields& fields, const ModelLimits& limits);

}  // namespace saccade::api
