#include "server/api/chat/chat_answer.h"

#include "server/api/answer/answer.h"

namespace saccade::api {
namespace {

using Kind = AnswerSegment::Kind;

// Reasoning, under the names that vLLM's clients read.
constexpr const char* kReasoningNames[] = {"reasoning_content", "reasoning"};

void append(Json& object, const char* name, const std::string& text) {
  if (!object.contains(name)) {
    object[name] = text;
  } else {
    object[name].get_ref<std::string&>() += text;
  }
}

Json function_of(const AnswerSegment& call) {
  return {{"name", call.name}, {"arguments", call.text}};
}

}  // namespace

Json ChatChoice::take(const ChoiceDelta& delta) {
  Json object = Json::object();
  for (const SegmentStep& step : answer_.take(delta)) add(step, object);
  return object;
}

void ChatChoice::add(const SegmentStep& step, Json& delta) {
  const AnswerSegment& segment = answer_.all()[step.segment];
  if (step.kind == SegmentStep::Kind::kEnd) return;
  if (segment.kind == Kind::kCall) return add_call(step, segment, delta);
  if (step.kind == SegmentStep::Kind::kBegin) return;
  if (segment.kind == Kind::kText) return append(delta, "content", step.text);
  append_reasoning(step.text, delta);
}

void ChatChoice::add_call(const SegmentStep& step, const AnswerSegment& call, Json& delta) {
  const bool begins = step.kind == SegmentStep::Kind::kBegin;
  if (begins) call_ids_.push_back(response_id("call_"));
  if (functions_) {
    Json& function = delta["function_call"];
    if (begins) function = {{"name", call.name}, {"arguments", ""}};
    if (!begins) append(function, "arguments", step.text);
    return;
  }
  Json& list = delta["tool_calls"];
  if (begins) {
    list.push_back({{"index", call.call},
                    {"id", call_ids_.back()},
                    {"type", "function"},
                    {"function", {{"name", call.name}, {"arguments", ""}}}});
    return;
  }
  if (list.empty() || list.back()["index"] != call.call) {
    list.push_back({{"index", call.call}, {"function", Json::object()}});
  }
  append(list.back()["function"], "arguments", step.text);
}

Json ChatChoice::message(const std::string& echoed, const std::string& thought) const {
  const std::string content = echoed + answer_.joined(Kind::kText);
  Json message = {{"role", "assistant"},
                  {"content", call_ids_.empty() || !content.empty() ? Json(content) : Json()},
                  {"refusal", nullptr}};
  append_reasoning(thought + answer_.joined(Kind::kReasoning), message);
  for (const AnswerSegment& segment : answer_.all()) {
    if (segment.kind != Kind::kCall) continue;
    if (functions_) {
      message["function_call"] = function_of(segment);
    } else {
      message["tool_calls"].push_back({{"id", call_ids_[static_cast<size_t>(segment.call)]},
                                       {"type", "function"},
                                       {"function", function_of(segment)}});
    }
  }
  return message;
}

const char* ChatChoice::finish_name(FinishReason reason) const {
  if (reason != FinishReason::kStop || call_ids_.empty()) return api::finish_name(reason);
  return functions_ ? "function_call" : "tool_calls";
}

void append_reasoning(const std::string& text, Json& message) {
  if (text.empty()) return;
  for (const char* name : kReasoningNames) append(message, name, text);
}

void remove_reasoning(Json& message) {
  for (const char* name : kReasoningNames) message.erase(name);
}

Json completion_details(const std::vector<ChatChoice>& choices) {
  int tokens = 0;
  for (const ChatChoice& choice : choices) tokens += choice.reasoning_tokens();
  return {{"reasoning_tokens", tokens}};
}

}  // namespace saccade::api
