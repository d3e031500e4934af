#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "server/prompt/conversation.h"

namespace saccade::api {

// The calls that the assistant has made so far in a conversation: what a tool's result may answer.
class ToolCallIds {
 public:
  ToolCallIds() = default;
  explicit ToolCallIds(const std::vector<ChatMessage>& messages) {
    for (const ChatMessage& message : messages) add(message);
  }

  void add(const ChatMessage& message);

  bool none() const { return ids_.empty() && !nameless_; }
  // A call came without an id, as in Hugging Face's chats: whatever a result says, it may be meant.
  bool nameless() const { return nameless_; }
  bool knows(const std::string& id) const { return nameless_ || ids_.contains(id); }

 private:
  std::unordered_set<std::string> ids_;
  bool nameless_ = false;
};

}  // namespace saccade::api
