#include "server/api/chat_answer.h"

#include "server/api/answer.h"

namespace saccade::api {
namespace {

void append(Json& object, const char* name, const std::string& text) {
  if (!object.contains(name)) {
    object[name] = text;
  } else {
    object[name].get_ref<std::string&>() += text;
  }
}

}  // namespace

ChatChoice::ChatChoice(const AnswerSyntax& syntax, bool functions, bool parallel)
    : parser_(syntax), functions_(functions), parallel_(parallel) {}

Json ChatChoice::take(const ChoiceDelta& delta) {
  const bool was_reasoning = parser_.reasoning();
  AnswerPieces pieces = parser_.push(delta.text);
  if (was_reasoning) reasoning_tokens_ += static_cast<int>(delta.logprobs.size());
  if (delta.finish) {
    for (AnswerPiece& piece : parser_.finish()) pieces.push_back(std::move(piece));
  }
  Json object = Json::object();
  for (const AnswerPiece& piece : pieces) add(piece, object);
  return object;
}

void ChatChoice::add(const AnswerPiece& piece, Json& delta) {
  switch (piece.kind) {
    case AnswerPiece::Kind::kContent:
      content_ += piece.text;
      return append(delta, "content", piece.text);
    case AnswerPiece::Kind::kReasoning:  // under the names that vLLM's clients read
      reasoning_ += piece.text;
      append(delta, "reasoning_content", piece.text);
      return append(delta, "reasoning", piece.text);
    default:
      if (piece.call == 0 || parallel_) add_call(piece, delta);
  }
}

void ChatChoice::add_call(const AnswerPiece& piece, Json& delta) {
  const bool begins = piece.kind == AnswerPiece::Kind::kCall;
  if (begins) {
    calls_.push_back({response_id("call_"), piece.text, ""});
  } else {
    calls_.back().arguments += piece.text;
  }
  if (functions_) {
    Json& call = delta["function_call"];
    if (begins) call = {{"name", piece.text}, {"arguments", ""}};
    if (!begins) append(call, "arguments", piece.text);
    return;
  }
  Json& list = delta["tool_calls"];
  if (begins) {
    list.push_back({{"index", piece.call},
                    {"id", calls_.back().id},
                    {"type", "function"},
                    {"function", {{"name", piece.text}, {"arguments", ""}}}});
    return;
  }
  if (list.empty() || list.back()["index"] != piece.call) {
    list.push_back({{"index", piece.call}, {"function", Json::object()}});
  }
  append(list.back()["function"], "arguments", piece.text);
}

Json ChatChoice::message(const std::string& echoed) const {
  const std::string content = echoed + content_;
  Json message = {{"role", "assistant"},
                  {"content", calls_.empty() || !content.empty() ? Json(content) : Json()},
                  {"refusal", nullptr}};
  if (!reasoning_.empty()) {
    message["reasoning_content"] = reasoning_;
    message["reasoning"] = reasoning_;
  }
  if (functions_ && !calls_.empty()) {
    message["function_call"] = {{"name", calls_[0].name}, {"arguments", calls_[0].arguments}};
  } else if (!calls_.empty()) {
    Json& list = message["tool_calls"] = Json::array();
    for (const Call& call : calls_) {
      list.push_back({{"id", call.id},
                      {"type", "function"},
                      {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
  }
  return message;
}

const char* ChatChoice::finish_name(FinishReason reason) const {
  if (reason != FinishReason::kStop || calls_.empty()) return api::finish_name(reason);
  return functions_ ? "function_call" : "tool_calls";
}

Json completion_details(const std::vector<ChatChoice>& choices) {
  int tokens = 0;
  for (const ChatChoice& choice : choices) tokens += choice.reasoning_tokens();
  return {{"reasoning_tokens", tokens}};
}

}  // namespace saccade::api
