#pragma once

#include "server/api/call.h"
#include "server/api/chat_request.h"

namespace saccade::api {

// What a model has thought in steps before its answer.
struct Steps {
  std::string text;       // "Step 1: ...\nStep 2: ...\n"
  int prompt_tokens = 0;  // of the first step: the chat's own
  int tokens = 0;         // of all steps, their prefixes among them
};

// reasoning.mode "fixed" (Multimodal-CoT's rationale and answer, chains as in CoT-PT): has the
// model write so many steps, each going on with the text so far, which lies in the prefix cache but
// for its last block. Leaves the conversation so that the answer follows behind the last prefix.
// Blocks until the steps are written.
Result<Steps> think_in_steps(Call& call, ChatRequest& chat);

}  // namespace saccade::api
