#include "server/api/messages/message_blocks.h"

#include "server/api/answer/answer.h"

namespace saccade::api {
namespace {

using Kind = AnswerSegment::Kind;

const char* block_id_prefix(Kind kind) { return kind == Kind::kCall ? "toolu_" : "sig_"; }

// A call's arguments as an object. What is none goes under the name that Anthropic's documentation
// gives it, so that nobody takes it for a call without arguments.
Json input_of(const std::string& arguments) {
  Json input = Json::parse(arguments, nullptr, /*allow_exceptions=*/false);
  if (!input.is_object()) input = {{"INVALID_JSON", arguments}};
  return input;
}

Json block_event(const char* type, size_t index, const char* name, Json value) {
  Json event = {{"type", type}, {"index", index}};
  event[name] = std::move(value);
  return event;
}

Json delta_event(size_t index, const char* type, const char* name, const std::string& text) {
  return block_event("content_block_delta", index, "delta", {{"type", type}, {name, text}});
}

}  // namespace

std::vector<Json> MessageBlocks::take(const ChoiceDelta& delta) {
  std::vector<Json> events;
  for (const SegmentStep& step : answer_.take(delta)) add(step, events);
  return events;
}

void MessageBlocks::add(const SegmentStep& step, std::vector<Json>& events) {
  const size_t index = step.segment;
  const Kind kind = answer_.all()[index].kind;
  switch (step.kind) {
    case SegmentStep::Kind::kBegin:
      ids_.push_back(response_id(block_id_prefix(kind)));
      events.push_back(block_event("content_block_start", index, "content_block", begun(index)));
      return;
    case SegmentStep::Kind::kMore:
      events.push_back(kind == Kind::kText ? delta_event(index, "text_delta", "text", step.text)
                       : kind == Kind::kCall
                           ? delta_event(index, "input_json_delta", "partial_json", step.text)
                           : delta_event(index, "thinking_delta", "thinking", step.text));
      return;
    case SegmentStep::Kind::kEnd:
      if (kind == Kind::kReasoning) {
        events.push_back(delta_event(index, "signature_delta", "signature", ids_[index]));
      }
      events.push_back({{"type", "content_block_stop"}, {"index", index}});
  }
}

// As a stream begins it: the text comes later.
Json MessageBlocks::begun(size_t index) const {
  const AnswerSegment& segment = answer_.all()[index];
  switch (segment.kind) {
    case Kind::kText:
      return {{"type", "text"}, {"text", ""}};
    case Kind::kReasoning:
      return {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}};
    default:
      return {{"type", "tool_use"},
              {"id", ids_[index]},
              {"name", segment.name},
              {"input", Json::object()}};
  }
}

Json MessageBlocks::whole(size_t index) const {
  const AnswerSegment& segment = answer_.all()[index];
  Json block = begun(index);
  switch (segment.kind) {
    case Kind::kText:
      block["text"] = segment.text;
      break;
    case Kind::kReasoning:
      block["thinking"] = segment.text;
      block["signature"] = ids_[index];
      break;
    case Kind::kCall:
      block["input"] = input_of(segment.text);
  }
  return block;
}

Json MessageBlocks::content() const {
  Json blocks = Json::array();
  for (size_t i = 0; i < ids_.size(); ++i) blocks.push_back(whole(i));
  return blocks;
}

}  // namespace saccade::api
