#pragma once

#include <string>
#include <vector>

#include "server/api/answer/answer_segments.h"
#include "server/api/fields/json.h"

namespace saccade::api {

// The content blocks of one of Anthropic's messages as its answer arrives (thinking, text,
// tool_use), and the events that tell of them.
class MessageBlocks {
 public:
  MessageBlocks(const AnswerSyntax& syntax, bool parallel) : answer_(syntax, parallel) {}

  std::vector<Json> take(const ChoiceDelta& delta);

  // Of all that was taken.
  Json content() const;
  bool called() const { return answer_.called(); }
  int reasoning_tokens() const { return answer_.reasoning_tokens(); }

 private:
  Json begun(size_t index) const;
  Json whole(size_t index) const;
  void add(const SegmentStep& step, std::vector<Json>& events);

  AnswerSegments answer_;
  std::vector<std::string> ids_;  // of each block; a signature where it is thinking
};

}  // namespace saccade::api
