#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/api/answer/generation.h"
#include "server/api/chat/chat_request.h"
#include "server/api/service/call.h"

namespace saccade::api {

// What a model has thought in steps before its answer.
struct Steps {
  std::string text;       // "Step 1: ...\nStep 2: ...\n"
  int prompt_tokens = 0;  // of the first step: the chat's own and the step's prefix
  int tokens = 0;         // generated in all steps
};

// reasoning.mode "fixed" (Multimodal-CoT's rationale and answer, chains as in CoT-PT): has the
// model write so many steps, each going on with the text so far, which lies in the prefix cache but
// for its last block.
class StepChain {
 public:
  // `call` and `chat`, which has steps, outlive this.
  StepChain(Call& call, ChatRequest& chat);

  // Begins the next step. Null: all are written, and the chat's conversation is left so that the
  // answer follows behind the last prefix. kTooLong behind the first: what was written has more
  // tokens when it is read than it had when it was written, and leaves no room.
  Result<std::unique_ptr<Generation>> next();
  // Takes a piece of the step that was begun last: its text, with the step's prefix in front of the
  // first and a line end behind the last.
  std::string take(const ChoiceDelta& delta);

  const Steps& written() const { return steps_; }

 private:
  // Before the first step, its prefix told: whether steps and answer have room, however long each
  // gets. Sets what a step may take.
  Status fit(const std::vector<ProbedMedia>& media);
  std::string& said() { return chat_.conversation.messages.back().parts.front().text; }

  Call& call_;
  ChatRequest& chat_;
  GenerationOptions options_;
  Steps steps_;
  int begun_ = 0;
  std::string prefix_;  // of the step that was begun last, until its first piece
};

}  // namespace saccade::api
