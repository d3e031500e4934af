#pragma once

#include <string>
#include <vector>

#include "server/api/answer/answer_segments.h"
#include "server/api/fields/json.h"
#include "server/prompt/conversation.h"

namespace saccade::api {

// The output items of a response as its answer arrives (reasoning, message, function_call), and the
// events that tell of them, still without their sequence numbers.
class ResponseItems {
 public:
  ResponseItems(const AnswerSyntax& syntax, bool parallel) : answer_(syntax, parallel) {}

  // `logprobs`: an array of entries, one for each token of the delta; empty where none are wished.
  std::vector<Json> take(const ChoiceDelta& delta, Json logprobs);

  // Of all that was taken.
  Json output() const;
  // The same as the next turn of the conversation knows it.
  ChatMessage turn() const;
  int reasoning_tokens() const { return answer_.reasoning_tokens(); }

 private:
  // What an item has beside its segment.
  struct Item {
    std::string id, call_id;
    std::string status = "in_progress";
    Json logprobs = Json::array();
  };
  void begin(size_t index, std::vector<Json>& events);
  void grow(size_t index, const std::string& text, std::vector<Json>& events);
  void end(size_t index, std::vector<Json>& events) const;
  Json event(const char* type, size_t index, Json fields) const;
  Json item(size_t index) const;
  Json part(size_t index) const;

  AnswerSegments answer_;
  std::vector<Item> items_;                // of each segment
  Json pending_logprobs_ = Json::array();  // of tokens whose text has not shown yet
};

}  // namespace saccade::api
