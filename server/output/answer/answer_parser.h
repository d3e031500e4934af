#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/output/answer/reasoning_parser.h"
#include "server/output/answer/tool_call_parser.h"

namespace saccade {

// What is looked for in an answer's text.
struct AnswerSyntax {
  std::optional<ReasoningStyle> reasoning;
  bool begins_inside = false;      // the prompt has opened the reasoning
  std::optional<ToolStyle> tools;  // none: calls are text
  std::vector<std::string> tool_names;
};

// One choice's text, cut into reasoning, content and tool calls as it arrives.
class AnswerParser {
 public:
  explicit AnswerParser(const AnswerSyntax& syntax);

  AnswerPieces push(std::string_view text);
  AnswerPieces finish(bool cut);  // ToolCallParser::finish
  bool reasoning() const { return reasoning_ && reasoning_->reasoning(); }
  int calls() const { return tools_ ? tools_->calls() : 0; }

 private:
  AnswerPieces find_calls(AnswerPieces pieces);

  std::optional<ReasoningParser> reasoning_;
  std::unique_ptr<ToolCallParser> tools_;
};

}  // namespace saccade
