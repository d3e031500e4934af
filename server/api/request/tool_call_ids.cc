#include "server/api/request/tool_call_ids.h"

namespace saccade::api {

void ToolCallIds::add(const ChatMessage& message) {
  const auto calls = message.extra.find("tool_calls");
  if (calls == message.extra.end() || !calls->is_array()) return;
  for (const auto& call : *calls) {
    const auto id = call.find("id");
    if (id != call.end() && id->is_string()) {
      ids_.insert(id->get<std::string>());
    } else {
      nameless_ = true;
    }
  }
}

}  // namespace saccade::api
