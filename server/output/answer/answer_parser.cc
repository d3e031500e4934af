#include "server/output/answer/answer_parser.h"

namespace saccade {

AnswerParser::AnswerParser(const AnswerSyntax& syntax) {
  if (syntax.reasoning) reasoning_.emplace(*syntax.reasoning, syntax.begins_inside);
  if (syntax.tools) tools_ = make_tool_call_parser(*syntax.tools, syntax.tool_names);
}

AnswerPieces AnswerParser::find_calls(AnswerPieces pieces) {
  if (!tools_) return pieces;
  AnswerPieces out;
  for (AnswerPiece& piece : pieces) {
    if (piece.kind == AnswerPiece::Kind::kContent) {
      tools_->push(piece.text, out);
    } else {
      out.push_back(std::move(piece));
    }
  }
  return out;
}

AnswerPieces AnswerParser::push(std::string_view text) {
  AnswerPieces pieces;
  if (reasoning_) {
    reasoning_->push(text, pieces);
  } else if (!text.empty()) {
    pieces.push_back({AnswerPiece::Kind::kContent, std::string(text), 0});
  }
  return find_calls(std::move(pieces));
}

AnswerPieces AnswerParser::finish(bool cut) {
  AnswerPieces pieces;
  if (reasoning_) reasoning_->finish(pieces);
  pieces = find_calls(std::move(pieces));
  if (tools_) tools_->finish(pieces, cut);
  return pieces;
}

}  // namespace saccade
