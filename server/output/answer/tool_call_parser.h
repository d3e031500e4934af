#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/output/answer/answer_piece.h"

namespace saccade {

// How a model writes its tool calls.
enum class ToolStyle {
  kHermes,       // <tool_call>{"name": ..., "arguments": {...}}</tool_call>
  kMistral,      // [TOOL_CALLS][{"name": ..., "arguments": {...}}]
  kMistralArgs,  // [TOOL_CALLS]name[ARGS]{...}; both are read in either style
  kLlama3,       // {"name": ..., "parameters": {...}} alone, several with ; between
  kJson,         // the same with "arguments", or a list of them
  kPythonic,     // [name(key="value"), ...]
  kReact,        // Action: name, Action Input: {...}, up to Observation:
};

// The names that --tool-call-parser takes: hermes, mistral, mistral_args, llama3_json, json,
// pythonic, react.
std::optional<ToolStyle> tool_style(std::string_view name);
std::string_view tool_style_name(ToolStyle style);
const std::vector<std::string>& tool_style_names();

// The style a chat template asks the model for; Hermes, which the built-in rendering uses, where it
// does not say.
ToolStyle detect_tool_style(std::string_view chat_template);

// The text that begins a call; empty where there is none.
std::string_view call_marker(ToolStyle style);

// Tells calls from content in a text that arrives in pieces. A marker that is cut by the pieces
// never shows; text before and between calls is content, white space around calls is dropped. What
// looks like a call and turns out to be none is content. One thread at a time.
class ToolCallParser {
 public:
  virtual ~ToolCallParser() = default;
  virtual void push(std::string_view text, AnswerPieces& out) = 0;
  // `cut`: by its length, not of the model's own accord. What then lies behind a marker is the
  // beginning of a call, and never content; a call without a name is dropped.
  virtual void finish(AnswerPieces& out, bool cut) = 0;

  int calls() const { return calls_; }

 protected:
  static void content(std::string text, AnswerPieces& out);
  void begin_call(std::string name, AnswerPieces& out);
  void arguments(std::string text, AnswerPieces& out) const;  // of the call that began last

 private:
  int calls_ = 0;
};

// `names`: the tools of the request. Where no marker tells a call, only a call of one of them is.
std::unique_ptr<ToolCallParser> make_tool_call_parser(ToolStyle style,
                                                      std::vector<std::string> names);

}  // namespace saccade
