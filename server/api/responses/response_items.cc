#include "server/api/responses/response_items.h"

#include "server/api/answer/answer.h"

namespace saccade::api {
namespace {

using Kind = AnswerSegment::Kind;

const char* item_id_prefix(Kind kind) {
  return kind == Kind::kText ? "msg_" : kind == Kind::kCall ? "fc_" : "rs_";
}

void move_all(Json& from, Json& to) {
  for (Json& entry : from) to.push_back(std::move(entry));
  from = Json::array();
}

}  // namespace

std::vector<Json> ResponseItems::take(const ChoiceDelta& delta, Json logprobs) {
  move_all(logprobs, pending_logprobs_);
  std::vector<Json> events;
  const std::vector<SegmentStep> steps = answer_.take(delta);
  for (const SegmentStep& step : steps) {
    switch (step.kind) {
      case SegmentStep::Kind::kBegin:
        begin(step.segment, events);
        break;
      case SegmentStep::Kind::kMore:
        grow(step.segment, step.text, events);
        break;
      case SegmentStep::Kind::kEnd:
        const bool cut = delta.finish == FinishReason::kLength && &step == &steps.back();
        items_[step.segment].status = cut ? "incomplete" : "completed";
        end(step.segment, events);
    }
  }
  // Tokens of reasoning and of calls have no place for theirs.
  if (!steps.empty()) pending_logprobs_ = Json::array();
  return events;
}

void ResponseItems::begin(size_t index, std::vector<Json>& events) {
  const Kind kind = answer_.all()[index].kind;
  Item& made = items_.emplace_back();
  made.id = response_id(item_id_prefix(kind));
  if (kind == Kind::kCall) made.call_id = response_id("call_");
  Json added = item(index);  // the delta may have brought some of its text already
  if (kind == Kind::kCall) {
    added["arguments"] = "";
  } else {
    added["content"] = Json::array();
  }
  events.push_back(event("response.output_item.added", index, {{"item", std::move(added)}}));
  if (kind == Kind::kCall) return;
  Json begun = part(index);
  begun["text"] = "";
  events.push_back(event("response.content_part.added", index,
                         {{"content_index", 0}, {"part", std::move(begun)}}));
}

void ResponseItems::grow(size_t index, const std::string& text, std::vector<Json>& events) {
  switch (answer_.all()[index].kind) {
    case Kind::kText:
      events.push_back(
          event("response.output_text.delta", index,
                {{"content_index", 0}, {"delta", text}, {"logprobs", pending_logprobs_}}));
      return move_all(pending_logprobs_, items_[index].logprobs);
    case Kind::kReasoning:
      events.push_back(
          event("response.reasoning_text.delta", index, {{"content_index", 0}, {"delta", text}}));
      return;
    case Kind::kCall:
      events.push_back(event("response.function_call_arguments.delta", index, {{"delta", text}}));
  }
}

void ResponseItems::end(size_t index, std::vector<Json>& events) const {
  const AnswerSegment& segment = answer_.all()[index];
  if (segment.kind == Kind::kCall) {
    events.push_back(event("response.function_call_arguments.done", index,
                           {{"name", segment.name}, {"arguments", segment.text}}));
  } else {
    const bool text = segment.kind == Kind::kText;
    Json done = {{"content_index", 0}, {"text", segment.text}};
    if (text) done["logprobs"] = items_[index].logprobs;
    events.push_back(event(text ? "response.output_text.done" : "response.reasoning_text.done",
                           index, std::move(done)));
    events.push_back(
        event("response.content_part.done", index, {{"content_index", 0}, {"part", part(index)}}));
  }
  events.push_back(event("response.output_item.done", index, {{"item", item(index)}}));
}

Json ResponseItems::event(const char* type, size_t index, Json fields) const {
  Json made = {{"type", type}, {"output_index", index}};
  if (!fields.contains("item")) made["item_id"] = items_[index].id;
  made.update(fields);
  return made;
}

Json ResponseItems::item(size_t index) const {
  const AnswerSegment& segment = answer_.all()[index];
  const Item& own = items_[index];
  Json made = {{"id", own.id}, {"status", own.status}};
  switch (segment.kind) {
    case Kind::kText:
      made.update(
          {{"type", "message"}, {"role", "assistant"}, {"content", Json::array({part(index)})}});
      break;
    case Kind::kReasoning:
      made.update({{"type", "reasoning"},
                   {"summary", Json::array()},
                   {"content", Json::array({part(index)})}});
      break;
    case Kind::kCall:
      made.update({{"type", "function_call"},
                   {"call_id", own.call_id},
                   {"name", segment.name},
                   {"arguments", segment.text}});
  }
  return made;
}

Json ResponseItems::part(size_t index) const {
  const AnswerSegment& segment = answer_.all()[index];
  if (segment.kind == Kind::kReasoning) {
    return {{"type", "reasoning_text"}, {"text", segment.text}};
  }
  return {{"type", "output_text"},
          {"text", segment.text},
          {"annotations", Json::array()},
          {"logprobs", items_[index].logprobs}};
}

Json ResponseItems::output() const {
  Json items = Json::array();
  for (size_t i = 0; i < items_.size(); ++i) items.push_back(item(i));
  return items;
}

ChatMessage ResponseItems::turn() const {
  ChatMessage message;
  message.role = "assistant";
  message.plain_string = true;
  const std::string text = answer_.joined(Kind::kText);
  message.has_content = !text.empty() || !answer_.called();
  if (message.has_content) message.parts.push_back({ContentPart::Kind::kText, text, {}});
  const std::string reasoning = answer_.joined(Kind::kReasoning);
  if (!reasoning.empty()) message.extra["reasoning_content"] = reasoning;
  for (size_t i = 0; i < items_.size(); ++i) {
    const AnswerSegment& segment = answer_.all()[i];
    if (segment.kind != Kind::kCall) continue;
    message.extra["tool_calls"].push_back(
        {{"id", items_[i].call_id},
         {"type", "function"},
         {"function", {{"name", segment.name}, {"arguments", segment.text}}}});
  }
  return message;
}

}  // namespace saccade::api
