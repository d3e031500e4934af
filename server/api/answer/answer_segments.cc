#include "server/api/answer/answer_segments.h"

#include <utility>

namespace saccade::api {
namespace {

using Kind = AnswerSegment::Kind;

Kind kind_of(const AnswerPiece& piece) {
  switch (piece.kind) {
    case AnswerPiece::Kind::kContent:
      return Kind::kText;
    case AnswerPiece::Kind::kReasoning:
      return Kind::kReasoning;
    default:
      return Kind::kCall;
  }
}

}  // namespace

std::vector<SegmentStep> AnswerSegments::take(const ChoiceDelta& delta) {
  const bool was_reasoning = parser_.reasoning();
  AnswerPieces pieces = parser_.push(delta.text);
  if (was_reasoning) reasoning_tokens_ += static_cast<int>(delta.logprobs.size());
  if (delta.finish) {
    const bool cut = *delta.finish == FinishReason::kLength;
    for (AnswerPiece& piece : parser_.finish(cut)) pieces.push_back(std::move(piece));
  }
  std::vector<SegmentStep> steps;
  for (AnswerPiece& piece : pieces) add(std::move(piece), steps);
  if (delta.finish) {
    if (segments_.empty()) begin({}, steps);
    end(steps);
  }
  return steps;
}

std::string AnswerSegments::joined(Kind kind) const {
  std::string text;
  for (const AnswerSegment& segment : segments_) {
    if (segment.kind == kind) text += segment.text;
  }
  return text;
}

void AnswerSegments::add(AnswerPiece piece, std::vector<SegmentStep>& steps) {
  const Kind kind = kind_of(piece);
  if (kind == Kind::kCall && piece.call > 0 && !parallel_) return;
  if (piece.kind == AnswerPiece::Kind::kCall) {
    return begin({kind, "", std::move(piece.text), piece.call}, steps);
  }
  if (!open_ || segments_.back().kind != kind) begin({kind, "", "", 0}, steps);
  segments_.back().text += piece.text;
  steps.push_back({SegmentStep::Kind::kMore, segments_.size() - 1, std::move(piece.text)});
}

void AnswerSegments::begin(AnswerSegment segment, std::vector<SegmentStep>& steps) {
  end(steps);
  segments_.push_back(std::move(segment));
  open_ = true;
  steps.push_back({SegmentStep::Kind::kBegin, segments_.size() - 1});
}

void AnswerSegments::end(std::vector<SegmentStep>& steps) {
  if (open_) steps.push_back({SegmentStep::Kind::kEnd, segments_.size() - 1});
  open_ = false;
}

}  // namespace saccade::api
