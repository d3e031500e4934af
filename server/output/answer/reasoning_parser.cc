#include "server/output/answer/reasoning_parser.h"

#include "server/output/answer/marker.h"

namespace saccade {

std::optional<ReasoningStyle> reasoning_style(std::string_view name) {
  if (name == "think") return ReasoningStyle{"<think>", "</think>", false, false};
  if (name == "answer") return ReasoningStyle{"", "The answer is", true, false};
  if (name == "because") return ReasoningStyle{"BECAUSE:", "", false, true};
  const size_t comma = name.find(',');
  if (comma == std::string_view::npos || comma + 1 == name.size()) return std::nullopt;
  return ReasoningStyle{std::string(name.substr(0, comma)), std::string(name.substr(comma + 1)),
                        false, false};
}

std::optional<ReasoningStyle> detect_reasoning_style(std::string_view chat_template) {
  if (chat_template.find("<think>") == std::string_view::npos) return std::nullopt;
  return reasoning_style("think");
}

ReasoningParser::ReasoningParser(ReasoningStyle style, bool begins_inside)
    : style_(std::move(style)),
      state_(style_.start.empty() || (begins_inside && !style_.answer_first) ? State::kReasoning
                                                                             : State::kBegin) {}

void ReasoningParser::emit(AnswerPiece::Kind kind, size_t length, AnswerPieces& out) {
  if (length == 0) return;
  out.push_back({kind, held_.substr(0, length), 0});
  held_.erase(0, length);
}

// Everything up to the marker is `before`. True when it was found.
bool ReasoningParser::find(const std::string& marker, AnswerPiece::Kind before, State after,
                           bool keep, AnswerPieces& out) {
  const size_t found = marker.empty() ? std::string::npos : held_.find(marker);
  if (found == std::string::npos) {
    size_t open = marker.empty() ? 0 : begun_marker(held_, marker);
    // White space before a marker belongs to neither side.
    while (open < held_.size() && is_white_space(held_[held_.size() - open - 1])) {
      ++open;
    }
    emit(before, held_.size() - open, out);
    return false;
  }
  const size_t last =
      held_.find_last_not_of(kWhiteSpace, found == 0 ? std::string::npos : found - 1);
  const size_t length = found == 0 || last == std::string::npos || last >= found ? 0 : last + 1;
  held_.erase(length, found - length + (keep ? 0 : marker.size()));
  emit(before, length, out);
  state_ = after;
  return true;
}

// Whether the text begins with the start marker; text that does not is the answer.
bool ReasoningParser::begin(AnswerPieces& out) {
  if (style_.answer_first) {
    return find(style_.start, AnswerPiece::Kind::kContent, State::kReasoning, false, out);
  }
  const size_t first = held_.find_first_not_of(kWhiteSpace);
  if (first == std::string::npos) return false;
  const std::string_view text = std::string_view(held_).substr(first);
  if (text.starts_with(style_.start)) {
    held_.erase(0, first + style_.start.size());
    state_ = State::kReasoning;
    return true;
  }
  if (style_.start.starts_with(text)) return false;
  state_ = State::kAnswer;
  return true;
}

void ReasoningParser::step(AnswerPieces& out) {
  for (bool more = true; more && !held_.empty();) {
    switch (state_) {
      case State::kBegin:
        more = begin(out);
        break;
      case State::kReasoning:
        if (!any_reasoning_) {  // the line break behind the start marker
          held_.erase(0, std::min(held_.find_first_not_of(kWhiteSpace), held_.size()));
          any_reasoning_ = !held_.empty();
        }
        more = find(style_.end, AnswerPiece::Kind::kReasoning,
                    style_.end_is_content ? State::kAnswer : State::kSpace, style_.end_is_content,
                    out);
        break;
      case State::kSpace:
        held_.erase(0, std::min(held_.find_first_not_of(kWhiteSpace), held_.size()));
        if (!held_.empty()) state_ = State::kAnswer;
        break;
      case State::kAnswer:
        emit(AnswerPiece::Kind::kContent, held_.size(), out);
        break;
    }
  }
}

void ReasoningParser::push(std::string_view text, AnswerPieces& out) {
  held_ += text;
  step(out);
}

void ReasoningParser::finish(AnswerPieces& out) {
  emit(reasoning() ? AnswerPiece::Kind::kReasoning : AnswerPiece::Kind::kContent, held_.size(),
       out);
}

}  // namespace saccade
