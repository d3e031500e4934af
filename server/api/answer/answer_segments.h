#pragma once

#include <string>
#include <vector>

#include "server/api/answer/generation.h"
#include "server/output/answer/answer_parser.h"

namespace saccade::api {

// One stretch of an answer: some reasoning, some words, or a call.
struct AnswerSegment {
  enum class Kind { kReasoning, kText, kCall };
  Kind kind = Kind::kText;
  std::string text;  // a call's is the JSON text of its arguments
  std::string name;  // of the tool that is called
  int call = 0;      // calls are numbered from 0
};

// What a delta changes: a segment begins, grows by `text`, or ends.
struct SegmentStep {
  enum class Kind { kBegin, kMore, kEnd };
  Kind kind = Kind::kMore;
  size_t segment = 0;
  std::string text = {};
};

// One choice's answer, cut into segments as it arrives. What the routes write their items, blocks
// and deltas from. There is one segment at least: an empty answer has an empty text.
class AnswerSegments {
 public:
  // `parallel` false: only the first call counts, others are dropped.
  AnswerSegments(const AnswerSyntax& syntax, bool parallel)
      : parser_(syntax), parallel_(parallel) {}

  // One segment is open at a time; the delta that finishes the answer ends the last one.
  std::vector<SegmentStep> take(const ChoiceDelta& delta);

  const std::vector<AnswerSegment>& all() const { return segments_; }
  // All segments of a kind, one behind the other.
  std::string joined(AnswerSegment::Kind kind) const;
  bool called() const { return parser_.calls() > 0; }
  int reasoning_tokens() const { return reasoning_tokens_; }  // whose text was reasoning

 private:
  void add(AnswerPiece piece, std::vector<SegmentStep>& steps);
  void begin(AnswerSegment segment, std::vector<SegmentStep>& steps);
  void end(std::vector<SegmentStep>& steps);

  AnswerParser parser_;
  const bool parallel_;
  std::vector<AnswerSegment> segments_;
  bool open_ = false;  // the last one
  int reasoning_tokens_ = 0;
};

}  // namespace saccade::api
