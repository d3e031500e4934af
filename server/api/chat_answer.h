#pragma once

#include <string>
#include <vector>

#include "server/api/generation.h"
#include "server/api/json.h"
#include "server/output/answer/answer_parser.h"

namespace saccade::api {

// One choice of a chat in the API's shape: content, reasoning and tool calls told apart.
class ChatChoice {
 public:
  // `functions`: calls in the older form, `function_call`. `parallel` false: the first call alone.
  ChatChoice(const AnswerSyntax& syntax, bool functions, bool parallel);

  // Takes what the choice has gained, and gives the `delta` of a chunk: {} while all of it is held
  // back. A call's first appearance has its id, type and name, what follows only more arguments.
  Json take(const ChoiceDelta& delta);

  // Of all that was taken: the `message` of a whole answer, after `echoed` words of the request.
  Json message(const std::string& echoed = {}) const;

  // "tool_calls" or "function_call" where the model called and stopped of its own accord.
  const char* finish_name(FinishReason reason) const;

  // Tokens whose text was reasoning.
  int reasoning_tokens() const { return reasoning_tokens_; }

 private:
  struct Call {
    std::string id, name, arguments;
  };
  void add(const AnswerPiece& piece, Json& delta);
  void add_call(const AnswerPiece& piece, Json& delta);

  AnswerParser parser_;
  bool functions_, parallel_;
  std::string content_, reasoning_;
  std::vector<Call> calls_;
  int reasoning_tokens_ = 0;
};

// usage.completion_tokens_details
Json completion_details(const std::vector<ChatChoice>& choices);

}  // namespace saccade::api
