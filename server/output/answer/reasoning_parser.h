#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/output/answer/answer_piece.h"

namespace saccade {

// How a model sets its reasoning apart from its answer.
struct ReasoningStyle {
  std::string start;  // begins the reasoning; empty: the answer's text begins inside of it
  std::string end;    // ends it; empty: the reasoning goes on to the end
  bool end_is_content = false;  // `end` belongs to the answer ("The answer is ...")
  bool answer_first = false;    // the answer stands before `start` (ScienceQA's BECAUSE)
};

// think (<think> ... </think>), answer ("The answer is"), because ("BECAUSE:"), or START,END.
std::optional<ReasoningStyle> reasoning_style(std::string_view name);

// The one that a chat template speaks of; none where it speaks of none.
std::optional<ReasoningStyle> detect_reasoning_style(std::string_view chat_template);

// Tells reasoning from the rest in a text that arrives in pieces. Markers never show, however they
// are cut; a reasoning that is not ended is all there is. One thread at a time.
class ReasoningParser {
 public:
  // `begins_inside`: the prompt has written the start marker already.
  ReasoningParser(ReasoningStyle style, bool begins_inside);

  void push(std::string_view text, AnswerPieces& out);
  void finish(AnswerPieces& out);
  bool reasoning() const { return state_ == State::kReasoning; }

 private:
  enum class State { kBegin, kReasoning, kSpace, kAnswer };
  void step(AnswerPieces& out);
  void emit(AnswerPiece::Kind kind, size_t length, AnswerPieces& out);
  bool begin(AnswerPieces& out);
  bool find(const std::string& marker, AnswerPiece::Kind before, State after, bool keep,
            AnswerPieces& out);

  const ReasoningStyle style_;
  State state_;
  bool any_reasoning_ = false;
  std::string held_;
};

}  // namespace saccade
