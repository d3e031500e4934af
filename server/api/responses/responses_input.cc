#include "server/api/responses/responses_input.h"

#include <unordered_set>
#include <utility>

#include "server/api/answer/answer.h"
#include "server/api/fields/request_tables.h"
#include "server/api/request/file_part.h"
#include "server/api/request/generation_options.h"

namespace saccade::api {
namespace {

// {"type": "input_image", "image_url": "data:..."} or with a "file_id".
void read_image(const Fields& part, Fields& fields, ContentPart& content) {
  content.kind = ContentPart::Kind::kImage;
  if (const Json* detail = part.find("detail")) {
    content.detail = image_detail(detail->get_ref<const std::string&>());
  }
  for (const char* name : {"image_url", "file_id"}) {
    const Json* value = part.find(name);
    if (value == nullptr) continue;
    content.text = value->get<std::string>();
    content.param = part.path(name);
    return;
  }
  const std::string path = part.path("image_url");
  fields.fail(path, path + " or file_id is missing");
}

void read_part(const Json& value, const std::string& path, const ModelLimits& limits,
               Fields& fields, ChatMessage& message) {
  if (!value.is_object()) {
    return fields.fail(path, path + " must be an object, not " + std::string(kind_of(value)));
  }
  const Fields part(value, {kResponsesPartFields}, limits, path);
  fields.fail(part.status());
  if (!fields.ok()) return;
  const auto& type = part.find("type")->get_ref<const std::string&>();
  ContentPart content;
  if (type == "input_image") {
    read_image(part, fields, content);
  } else if (type == "input_text" || type == "output_text" || type == "text") {
    const Json* text = part.find("text");
    content.param = part.path("text");
    if (text == nullptr) return fields.fail(content.param, content.param + " is missing");
    content.text = text->get<std::string>();
  } else if (type == "refusal") {
    const Json* text = part.find("refusal");
    content.param = part.path("refusal");
    if (text == nullptr) return fields.fail(content.param, content.param + " is missing");
    content.text = text->get<std::string>();
  } else if (type == "input_file") {
    const Fields file(value, {kFileFields}, limits, path);
    fields.fail(file.status());
    if (fields.ok()) read_file_part(file, fields, content);
    if (!fields.ok()) return;
  } else {
    const std::string where = part.path("type");
    return fields.fail(where, "unknown content part type '" + type.substr(0, 64) +
                                  "'; known are input_text, input_image and input_file");
  }
  message.parts.push_back(std::move(content));
}

void read_content(const Json& content, const std::string& path, const ModelLimits& limits,
                  Fields& fields, ChatMessage& message) {
  if (content.is_string()) {
    message.plain_string = true;
    message.parts.push_back({ContentPart::Kind::kText, content.get<std::string>(), path});
    return;
  }
  if (!content.is_array() || content.empty()) {
    return fields.fail(path, path + " must be a string or an array of parts");
  }
  for (size_t i = 0; i < content.size() && fields.ok(); ++i) {
    read_part(content[i], element_path(path, i), limits, fields, message);
  }
}

// Puts items together to turns: a response's items are one turn of the assistant.
class InputReader {
 public:
  InputReader(Fields& fields, const ModelLimits& limits, ResponsesRequest& request)
      : fields_(fields),
        limits_(limits),
        messages_(request.conversation.messages),
        earlier_calls_(request.earlier_calls) {}

  void read(const Json& value, const std::string& path) {
    if (!value.is_object()) {
      return fail(path, path + " must be an object, not " + std::string(kind_of(value)));
    }
    const Fields item(value, {kResponsesItemFields}, limits_, path);
    fields_.fail(item.status());
    if (!fields_.ok()) return;
    const Json* type = item.find("type");
    const std::string name = type == nullptr ? "message" : type->get<std::string>();
    if (name == "message") return read_message(item);
    if (name == "function_call") return read_call(item);
    if (name == "function_call_output") return read_call_output(item);
    if (name == "reasoning") return read_reasoning(item);
    if (name == "item_reference") {  // those that name an item are that item by now
      return fail(item.path("id"), item.path("id") + " must name an item of a stored response");
    }
    fail(item.path("type"), "unknown input item type '" + name.substr(0, 64) +
                                "'; known are message, function_call, function_call_output, "
                                "reasoning and item_reference");
  }

 private:
  void fail(const std::string& path, std::string message) {
    fields_.fail(path, std::move(message));
  }

  // The member, or null with the mistake kept.
  const Json* need(const Fields& item, const char* name) {
    const Json* value = item.find(name);
    if (value == nullptr) fail(item.path(name), item.path(name) + " is missing");
    return value;
  }

  void read_message(const Fields& item) {
    const Json* role = need(item, "role");
    const Json* content = need(item, "content");
    if (!fields_.ok()) return;
    ChatMessage message;
    message.role = role->get<std::string>();
    if (message.role == "developer") message.role = "system";
    if (message.role == "assistant") take_reasoning(message);
    read_content(*content, item.path("content"), limits_, fields_, message);
    messages_.push_back(std::move(message));
  }

  // A call the model made, which templates know as a part of the assistant's turn.
  void read_call(const Fields& item) {
    const Json* id = need(item, "call_id");
    const Json* name = need(item, "name");
    const Json* arguments = need(item, "arguments");
    if (!fields_.ok()) return;
    if (messages_.empty() || messages_.back().role != "assistant" || !reasoning_.empty()) {
      ChatMessage& turn = messages_.emplace_back();
      turn.role = "assistant";
      turn.has_content = false;
      take_reasoning(turn);
    }
    messages_.back().extra["tool_calls"].push_back(
        {{"id", *id},
         {"type", "function"},
         {"function", {{"name", *name}, {"arguments", *arguments}}}});
    calls_.insert(id->get<std::string>());
  }

  void read_call_output(const Fields& item) {
    const Json* id = need(item, "call_id");
    const Json* output = need(item, "output");
    if (!fields_.ok()) return;
    const auto& call = id->get_ref<const std::string&>();
    if (!calls_.contains(call)) earlier_calls_.push_back({call, item.path("call_id")});
    ChatMessage message;
    message.role = "tool";
    message.extra["tool_call_id"] = *id;
    if (!output->is_array() || !output->empty()) {  // a tool may have nothing to say
      read_content(*output, item.path("output"), limits_, fields_, message);
    }
    messages_.push_back(std::move(message));
  }

  // Of the turn that follows; templates show it where the model was trained to see it again.
  void read_reasoning(const Fields& item) {
    const Json* content = item.find("content");
    if (content == nullptr) return;
    const std::string path = item.path("content");
    if (!content->is_array()) return fail(path, path + " must be an array of parts");
    for (size_t i = 0; i < content->size(); ++i) {
      const std::string where = element_path(path, i);
      if (!(*content)[i].is_object()) return fail(where, where + " must be an object");
      const Fields part((*content)[i], {kTextPartFields}, limits_, where);
      if (!fields_.adopt(part)) return;
      reasoning_ += part.find("text")->get_ref<const std::string&>();
    }
  }

  void take_reasoning(ChatMessage& turn) {
    if (!reasoning_.empty()) turn.extra["reasoning_content"] = std::exchange(reasoning_, {});
  }

  Fields& fields_;
  const ModelLimits& limits_;
  std::vector<ChatMessage>& messages_;
  std::vector<EarlierCall>& earlier_calls_;
  std::unordered_set<std::string> calls_;  // ids of those that were read
  std::string reasoning_;                  // read, and of no turn yet
};

// An item as it is listed and referred to: with an id, a type and content in parts.
Json listed(Json item) {
  constexpr std::pair<const char*, const char*> kPrefixes[] = {{"message", "msg_"},
                                                               {"function_call", "fc_"},
                                                               {"function_call_output", "fco_"},
                                                               {"reasoning", "rs_"}};
  const auto empty = [&](const char* name) { return !item.contains(name) || item[name].is_null(); };
  if (empty("type")) item["type"] = "message";
  for (const auto& [type, prefix] : kPrefixes) {
    if (empty("id") && item["type"] == type) item["id"] = response_id(prefix);
  }
  if (empty("status") && item["type"] != "reasoning") item["status"] = "completed";
  if (item["type"] == "message" && item["content"].is_string()) {
    const char* type = item["role"] == "assistant" ? "output_text" : "input_text";
    item["content"] = Json::array({{{"type", type}, {"text", item["content"]}}});
  }
  return item;
}

void read_text(const Json& input, Conversation& conversation, Json& items) {
  ChatMessage message;
  message.role = "user";
  message.plain_string = true;
  message.parts.push_back({ContentPart::Kind::kText, input.get<std::string>(), "input"});
  conversation.messages.push_back(std::move(message));
  items.push_back(listed({{"type", "message"}, {"role", "user"}, {"content", input}}));
}

}  // namespace

void read_responses_input(Fields& fields, const ModelLimits& limits, ResponsesRequest& request) {
  Conversation& conversation = request.conversation;
  Json& items = request.input;
  const Json* input = fields.ok() ? fields.find("input") : nullptr;
  if (input == nullptr) return fields.fail("input", "input is missing");
  items = Json::array();
  if (input->is_string()) return read_text(*input, conversation, items);
  if (!input->is_array() || input->empty()) {
    return fields.fail("input", "input must be a string or an array with at least one item");
  }
  if (input->size() > limits.fields.max_messages) {
    return fields.fail(
        "input", "input holds more than " + std::to_string(limits.fields.max_messages) + " items");
  }
  InputReader reader(fields, limits, request);
  for (size_t i = 0; i < input->size() && fields.ok(); ++i) {
    reader.read((*input)[i], element_path("input", i));
    if (fields.ok()) items.push_back(listed((*input)[i]));
  }
  if (conversation.messages.empty()) fields.fail("input", "the input holds nothing to answer");
}

}  // namespace saccade::api
