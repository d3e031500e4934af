#include "server/api/responses_request.h"

#include <array>

#include "server/api/request_tables.h"

namespace saccade::api {
namespace {

std::string indexed(const std::string& path, size_t i) {
  return path + "[" + std::to_string(i) + "]";
}

// {"type": "input_image", "image_url": "data:..."} or with a "file_id".
void read_image(const Fields& part, Fields& fields, ContentPart& content) {
  content.kind = ContentPart::Kind::kImage;
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
    if (text != nullptr) content.text = text->get<std::string>();
  } else {
    const std::string where = part.path("type");
    return fields.fail(where, "unknown content part type '" + type.substr(0, 64) +
                                  "'; known are input_text and input_image");
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
    read_part(content[i], indexed(path, i), limits, fields, message);
  }
}

void read_message_item(const Fields& item, const ModelLimits& limits, Fields& fields,
                       Conversation& conversation) {
  const Json* role = item.find("role");
  const Json* content = item.find("content");
  if (role == nullptr) return fields.fail(item.path("role"), item.path("role") + " is missing");
  if (content == nullptr) {
    return fields.fail(item.path("content"), item.path("content") + " is missing");
  }
  ChatMessage message;
  message.role = role->get<std::string>();
  if (message.role == "developer") message.role = "system";
  read_content(*content, item.path("content"), limits, fields, message);
  conversation.messages.push_back(std::move(message));
}

// A call the model made, which templates know as a part of the assistant's turn.
void read_call(const Fields& item, Fields& fields, Conversation& conversation) {
  Json call = {{"id", ""}, {"type", "function"}, {"function", Json::object()}};
  for (const char* name : {"call_id", "name", "arguments"}) {
    const Json* value = item.find(name);
    if (value == nullptr) return fields.fail(item.path(name), item.path(name) + " is missing");
    if (std::string_view(name) == "call_id") {
      call["id"] = *value;
    } else {
      call["function"][name] = *value;
    }
  }
  auto& messages = conversation.messages;
  const bool joins = !messages.empty() && messages.back().role == "assistant" &&
                     messages.back().extra.contains("tool_calls");
  if (!joins) {
    messages.emplace_back().role = "assistant";
    messages.back().has_content = false;
    messages.back().extra["tool_calls"] = Json::array();
  }
  messages.back().extra["tool_calls"].push_back(std::move(call));
}

void read_call_output(const Fields& item, const ModelLimits& limits, Fields& fields,
                      Conversation& conversation) {
  const Json* id = item.find("call_id");
  const Json* output = item.find("output");
  if (id == nullptr) return fields.fail(item.path("call_id"), item.path("call_id") + " is missing");
  if (output == nullptr) {
    return fields.fail(item.path("output"), item.path("output") + " is missing");
  }
  ChatMessage message;
  message.role = "tool";
  message.extra["tool_call_id"] = *id;
  read_content(*output, item.path("output"), limits, fields, message);
  conversation.messages.push_back(std::move(message));
}

void read_item(const Json& value, const std::string& path, const ModelLimits& limits,
               Fields& fields, Conversation& conversation) {
  if (!value.is_object()) {
    return fields.fail(path, path + " must be an object, not " + std::string(kind_of(value)));
  }
  const Fields item(value, {kResponsesItemFields}, limits, path);
  fields.fail(item.status());
  if (!fields.ok()) return;
  const Json* type = item.find("type");
  const std::string name = type == nullptr ? "message" : type->get<std::string>();
  if (name == "message") return read_message_item(item, limits, fields, conversation);
  if (name == "function_call") return read_call(item, fields, conversation);
  if (name == "function_call_output") {
    return read_call_output(item, limits, fields, conversation);
  }
  if (name == "reasoning") return;  // ours says nothing that the next turn needs
  fields.fail(item.path("type"), "unknown input item type '" + name.substr(0, 64) +
                                     "'; known are message, function_call, function_call_output");
}

void read_input(Fields& fields, const ModelLimits& limits, ResponsesRequest& request) {
  const Json* input = fields.ok() ? fields.find("input") : nullptr;
  if (input == nullptr) return fields.fail("input", "input is missing");
  request.input = Json::array();
  if (input->is_string()) {
    ChatMessage message;
    message.role = "user";
    message.plain_string = true;
    message.parts.push_back({ContentPart::Kind::kText, input->get<std::string>(), "input"});
    request.conversation.messages.push_back(std::move(message));
    const Json part = {{"type", "input_text"}, {"text", *input}};
    request.input.push_back(
        {{"type", "message"}, {"role", "user"}, {"content", Json::array({part})}});
    return;
  }
  if (!input->is_array() || input->empty()) {
    return fields.fail("input", "input must be a string or an array with at least one item");
  }
  if (input->size() > limits.fields.max_messages) {
    return fields.fail(
        "input", "input holds more than " + std::to_string(limits.fields.max_messages) + " items");
  }
  for (size_t i = 0; i < input->size() && fields.ok(); ++i) {
    read_item((*input)[i], indexed("input", i), limits, fields, request.conversation);
    request.input.push_back((*input)[i]);
  }
}

// What this server does not do, unless it is asked for in a way that changes nothing.
void refuse_unsupported(Fields& fields) {
  for (const char* name : {"conversation", "prompt"}) {
    if (fields.find(name) != nullptr) {
      fields.fail(name, std::string(name) +
                            " is not supported; send input, or "
                            "previous_response_id");
    }
  }
  const Json* background = fields.find("background");
  if (background != nullptr && *background == true) {
    fields.fail("background", "background is not supported");
  }
  const Json* tools = fields.find("tools");
  const Json* choice = fields.find("tool_choice");
  if (tools != nullptr && !tools->is_array()) fields.fail("tools", "tools must be an array");
  if (tools != nullptr && !tools->empty() && !(choice != nullptr && *choice == "none")) {
    fields.fail("tools", "tools are not supported on this route by this version");
  }
  if (choice != nullptr && *choice != "auto" && *choice != "none") {
    fields.fail("tool_choice", "tools are not supported on this route by this version");
  }
}

// text.format, which holds what response_format.json_schema does in chats.
std::optional<GrammarSpec> read_format(Fields& fields) {
  if (!fields.ok()) return std::nullopt;
  const Json* text = fields.find("text");
  if (text == nullptr || !text->contains("format") || (*text)["format"].is_null()) {
    return read_structured_output(fields);
  }
  const Fields format((*text)["format"], {kTextFormatFields}, fields.limits(), "text.format");
  fields.fail(format.status());
  if (!fields.ok()) return std::nullopt;
  const auto& type = format.find("type")->get_ref<const std::string&>();
  if (type == "text") return std::nullopt;
  if (type == "json_object") {
    return GrammarSpec{GrammarSpec::Kind::kJsonObject, "", "text.format"};
  }
  const Json* schema = format.find("schema");
  const std::string path = format.path("schema");
  if (schema == nullptr) {
    fields.fail(path, path + " is missing");
    return std::nullopt;
  }
  return GrammarSpec{GrammarSpec::Kind::kJsonSchema, to_text(*schema), path};
}

// A response repeats what it was asked.
Json echoed_fields(const Fields& fields) {
  Json echoed = Json::object();
  for (const char* name :
       {"instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "reasoning",
        "service_tier", "temperature", "text", "tool_choice", "tools", "top_p", "top_logprobs",
        "truncation", "user", "safety_identifier", "prompt_cache_key"}) {
    if (const Json* value = fields.find(name)) echoed[name] = *value;
  }
  return echoed;
}

bool wants_logprobs(const Fields& fields) {
  const Json* include = fields.find("include");
  if (include == nullptr || !include->is_array()) return false;
  for (const Json& name : *include) {
    if (name == "message.output_text.logprobs") return true;
  }
  return false;
}

}  // namespace

Result<ResponsesRequest> parse_responses_request(const Json& body, const ModelLimits& limits) {
  ResponsesRequest request;
  Fields fields(body, {kGenerationFields, kResponsesFields}, limits);
  fields.read("model", request.model);
  read_input(fields, limits, request);
  request.options = read_generation_options(fields);
  fields.read("max_output_tokens", request.options.max_tokens);
  if (request.options.n != 1) fields.fail("n", "a response has one answer: n must be 1");
  request.format = read_format(fields);
  fields.read("instructions", request.instructions);
  fields.read("previous_response_id", request.previous_response_id);
  fields.read("store", request.store);
  std::optional<int> top;
  fields.read("top_logprobs", top);
  if (fields.ok() && (wants_logprobs(fields) || top.value_or(0) > 0)) {
    request.options.sampling.logprobs = top.value_or(0);
  }
  if (fields.ok()) refuse_unsupported(fields);
  if (!fields.ok()) return fields.status();
  request.echoed = echoed_fields(fields);
  return request;
}

}  // namespace saccade::api
