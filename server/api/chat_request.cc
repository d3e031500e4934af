#include "server/api/chat_request.h"

#include <algorithm>
#include <array>

namespace saccade::api {
namespace {

constexpr std::array<const char*, 5> kRoles = {"system", "developer", "user", "assistant", "tool"};
// Members of a message that templates may use, passed on as they are.
constexpr std::array<const char*, 4> kPassedOn = {"name", "tool_calls", "tool_call_id",
                                                  "reasoning_content"};

// Adopts the first mistake of the fields of an inner object.
bool adopt(Fields& outer, const Fields& inner) {
  if (!inner.ok()) outer.fail(inner.status().param(), inner.status().message());
  return inner.ok();
}

void read_image_url(Fields& fields, Fields& part, ContentPart& content) {
  const Json* url = part.find("image_url");
  content.kind = ContentPart::Kind::kImage;
  content.param = part.path("image_url");
  if (url == nullptr) return fields.fail(content.param, content.param + " is missing");
  if (url->is_string()) {  // as Ollama's documentation has it
    content.text = url->get<std::string>();
    return;
  }
  if (!url->is_object()) {
    return fields.fail(content.param, content.param + " must be an object with a url");
  }
  Fields inner(*url, content.param);
  content.param = inner.path("url");
  if (inner.find("url") == nullptr) {
    return fields.fail(content.param, content.param + " is missing");
  }
  inner.read("url", content.text);
  std::string detail = "auto";
  inner.read("detail", detail);
  if (inner.ok() && detail != "auto" && detail != "low" && detail != "high") {
    inner.fail(inner.path("detail"), inner.path("detail") + " must be auto, low or high");
  }
  adopt(fields, inner);
}

void read_part(Fields& fields, const Json& value, const std::string& path, ChatMessage& message) {
  if (!value.is_object()) {
    return fields.fail(path, path + " must be an object, not " + std::string(kind_of(value)));
  }
  Fields part(value, path);
  const Json* type = part.find("type");
  const std::string type_path = part.path("type");
  if (type == nullptr || !type->is_string()) {
    return fields.fail(type_path, type_path + " must be a string");
  }
  const auto& name = type->get_ref<const std::string&>();
  ContentPart content;
  if (name == "text" || name == "input_text") {
    content.param = part.path("text");
    if (part.find("text") == nullptr) {
      return fields.fail(content.param, content.param + " is missing");
    }
    part.read("text", content.text);
    if (!adopt(fields, part)) return;
  } else if (name == "image_url") {
    read_image_url(fields, part, content);
  } else if (name == "video_url" || name == "video") {
    return fields.fail(type_path, "video input is not supported by this version");
  } else {
    return fields.fail(type_path, "unknown content part type '" + name.substr(0, 64) +
                                      "'; known are text and image_url");
  }
  message.parts.push_back(std::move(content));
}

void read_content(Fields& fields, const Fields& member, ChatMessage& message) {
  const Json* content = member.find("content");
  const std::string path = member.path("content");
  if (content == nullptr) {
    message.has_content = false;
    const bool optional = message.role == "assistant" && message.extra.contains("tool_calls");
    if (!optional) fields.fail(path, path + " is missing");
    return;
  }
  if (content->is_string()) {
    message.plain_string = true;
    message.parts.push_back({ContentPart::Kind::kText, content->get<std::string>(), path});
    return;
  }
  if (!content->is_array()) {
    return fields.fail(path, path + " must be a string or an array of parts, not " +
                                 std::string(kind_of(*content)));
  }
  if (content->empty()) return fields.fail(path, path + " must not be empty");
  for (size_t i = 0; i < content->size() && fields.ok(); ++i) {
    read_part(fields, (*content)[i], path + "[" + std::to_string(i) + "]", message);
  }
}

void read_message(Fields& fields, const Json& value, const std::string& path,
                  Conversation& conversation) {
  if (!value.is_object()) {
    return fields.fail(path, path + " must be an object, not " + std::string(kind_of(value)));
  }
  Fields member(value, path);
  ChatMessage message;
  member.read("role", message.role);
  if (!adopt(fields, member)) return;
  if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end()) {
    return fields.fail(member.path("role"),
                       member.path("role") + " must be system, developer, user, assistant or tool");
  }
  if (message.role == "developer") message.role = "system";
  for (const char* name : kPassedOn) {
    if (const Json* extra = member.find(name)) message.extra[name] = *extra;
  }
  read_content(fields, member, message);
  conversation.messages.push_back(std::move(message));
}

// Refuses what this version does not do, unless it is asked for in a way that changes nothing.
void refuse_unsupported(Fields& fields, const FieldLimits& limits) {
  if (const Json* tools = fields.find("tools")) {
    if (!tools->is_array()) return fields.fail("tools", "tools must be an array");
    if (tools->size() > limits.max_tools) {
      return fields.fail("tools",
                         "at most " + std::to_string(limits.max_tools) + " tools are taken");
    }
    const Json* choice = fields.find("tool_choice");
    if (!tools->empty() && !(choice != nullptr && *choice == "none")) {
      return fields.fail("tools", "tools are not supported by this version");
    }
  }
  if (const Json* choice = fields.find("tool_choice");
      choice && *choice != "none" && *choice != "auto") {
    return fields.fail("tool_choice", "tools are not supported by this version");
  }
  for (const char* name : {"functions", "function_call", "audio"}) {
    const Json* value = fields.find(name);
    if (value != nullptr && !value->empty() && *value != "none") {
      return fields.fail(name, std::string(name) + " is not supported by this version");
    }
  }
}

void read_logprobs(Fields& fields, const FieldLimits& limits, SamplingParams& sampling) {
  bool wanted = false;
  std::optional<int> top;
  fields.read("logprobs", wanted);
  fields.read("top_logprobs", top, {0, static_cast<double>(limits.max_top_logprobs)});
  if (top && !wanted) fields.fail("top_logprobs", "top_logprobs needs logprobs: true");
  if (wanted) sampling.logprobs = top.value_or(0);
}

}  // namespace

Conversation read_conversation(Fields& fields, const FieldLimits& limits) {
  Conversation conversation;
  const Json* messages = fields.find("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    fields.fail("messages", "messages must be an array with at least one message");
    return conversation;
  }
  if (messages->size() > limits.max_messages) {
    fields.fail("messages",
                "messages holds more than " + std::to_string(limits.max_messages) + " messages");
    return conversation;
  }
  for (size_t i = 0; i < messages->size() && fields.ok(); ++i) {
    read_message(fields, (*messages)[i], "messages[" + std::to_string(i) + "]", conversation);
  }
  fields.read("add_generation_prompt", conversation.add_generation_prompt);
  fields.read("continue_final_message", conversation.continue_final_message);
  if (conversation.continue_final_message && fields.ok()) {
    if (fields.find("add_generation_prompt") != nullptr && conversation.add_generation_prompt) {
      fields.fail("continue_final_message",
                  "continue_final_message and add_generation_prompt exclude each other");
    }
    conversation.add_generation_prompt = false;
  }
  if (const Json* kwargs = fields.ok() ? fields.find("chat_template_kwargs") : nullptr) {
    if (kwargs->is_object()) {
      conversation.template_kwargs = *kwargs;
    } else {
      fields.fail("chat_template_kwargs", "chat_template_kwargs must be an object");
    }
  }
  return conversation;
}

Result<ChatRequest> parse_chat_request(const Json& body, const ModelLimits& limits) {
  ChatRequest request;
  Fields fields(body);
  fields.read("model", request.model);
  request.conversation = read_conversation(fields, limits.fields);
  request.options = read_generation_options(fields, limits);
  read_logprobs(fields, limits.fields, request.options.sampling);
  request.format = read_structured_output(fields);
  if (fields.ok()) refuse_unsupported(fields, limits.fields);
  if (!fields.ok()) return fields.status();
  return request;
}

}  // namespace saccade::api
