#pragma once

#include <string>
#include <vector>

#include "server/api/answer/answer_segments.h"
#include "server/api/fields/json.h"

namespace saccade::api {

// One choice of a chat in the API's shape: content, reasoning and tool calls told apart.
class ChatChoice {
 public:
  // `functions`: calls in the older form, `function_call`. `parallel` false: the first call alone.
  ChatChoice(const AnswerSyntax& syntax, bool functions, bool parallel)
      : answer_(syntax, parallel), functions_(functions) {}

  // Takes what the choice has gained, and gives the `delta` of a chunk: {} while all of it is held
  // back. A call's first appearance has its id, type and name, what follows only more arguments.
  Json take(const ChoiceDelta& delta);

  // Of all that was taken: the `message` of a whole answer, after `echoed` words of the request and
  // what was `thought` before.
  Json message(const std::string& echoed, const std::string& thought) const;

  // "tool_calls" or "function_call" where the model called and stopped of its own accord.
  const char* finish_name(FinishReason reason) const;

  int reasoning_tokens() const { return answer_.reasoning_tokens(); }

 private:
  void add(const SegmentStep& step, Json& delta);
  void add_call(const SegmentStep& step, const AnswerSegment& call, Json& delta);

  AnswerSegments answer_;
  const bool functions_;
  std::vector<std::string> call_ids_;
};

// Adds a piece of reasoning to a message or delta, or takes all of it away.
void append_reasoning(const std::string& text, Json& message);
void remove_reasoning(Json& message);

// usage.completion_tokens_details
Json completion_details(const std::vector<ChatChoice>& choices);

}  // namespace saccade::api
