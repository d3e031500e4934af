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
  ChatChoice(const AnswerSyntax& syntax, bool functions, bool parallel, bool with_reasoning)
      : answer_(syntax, parallel), functions_(functions), with_reasoning_(with_reasoning) {}

  // Takes what the choice has gained, and gives the `delta` of a chunk: {} while all of it is held
  // back. A call's first appearance has its id, type and name, what follows only more arguments.
  Json take(const ChoiceDelta& delta);

  // Of all that was taken: the `message` of a whole answer, after `echoed` words of the request.
  Json message(const std::string& echoed = {}) const;

  // "tool_calls" or "function_call" where the model called and stopped of its own accord.
  const char* finish_name(FinishReason reason) const;

  int reasoning_tokens() const { return answer_.reasoning_tokens(); }

 private:
  void add(const SegmentStep& step, Json& delta);
  void add_call(const SegmentStep& step, const AnswerSegment& call, Json& delta);

  AnswerSegments answer_;
  const bool functions_;
  const bool with_reasoning_;
  std::vector<std::string> call_ids_;
};

// usage.completion_tokens_details
Json completion_details(const std::vector<ChatChoice>& choices);

}  // namespace saccade::api
