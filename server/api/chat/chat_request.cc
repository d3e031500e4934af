#include "server/api/chat/chat_request.h"

#include <algorithm>
#include <array>

#include "server/api/fields/request_tables.h"
#include "server/api/request/file_part.h"
#include "server/api/request/tool_call_ids.h"
#include "server/api/request/video_part.h"

namespace saccade::api {
namespace {

constexpr std::array<const char*, 6> kRoles = {"system",    "developer", "user",
                                               "assistant", "tool",      "function"};
// Members of a message that templates may use, passed on as they are.
constexpr std::array<const char*, 4> kPassedOn = {"name", "tool_calls", "tool_call_id",
                                                  "reasoning_content"};

// Adopts the first mistake of the fields of an inner object.
void read_image_url(Fields& fields, const Fields& part, ContentPart& content,
                    const ModelLimits& limits) {
  const Json* url = part.find("image_url");
  content.kind = ContentPart::Kind::kImage;
  content.param = part.path("image_url");
  std::string detail;
  if (url != nullptr && url->is_string()) {  // as Ollama's documentation has it
    Fields flat(part.object(), {kImageDetailFields}, limits, part.path());
    content.text = url->get<std::string>();
    flat.read("detail", detail);
    content.detail = image_detail(detail);
    fields.adopt(flat);
    return;
  }
  Fields checked(part.object(), {kImagePartFields}, limits, part.path());
  if (!fields.adopt(checked)) return;
  Fields inner(*url, content.param);
  content.param = inner.path("url");
  inner.read("url", content.text);
  inner.read("detail", detail);
  content.detail = image_detail(detail);
}

void read_part(Fields& fields, const Json& value, const std::string& path, ChatMessage& message,
               const ModelLimits& limits) {
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
  if (name == "text" || name == "input_text" || name == "output_text") {
    content.param = part.path("text");
    Fields text(value, {kTextPartFields}, limits, path);
    text.read("text", content.text);
    if (!fields.adopt(text)) return;
  } else if (name == "refusal" && message.role == "assistant") {  // what it said instead
    content.param = part.path("refusal");
    Fields refusal(value, {kRefusalPartFields}, limits, path);
    refusal.read("refusal", content.text);
    if (!fields.adopt(refusal)) return;
  } else if (name == "image_url" || name == "input_image") {  // the second as in responses
    read_image_url(fields, part, content, limits);
  } else if (name == "image_file") {
    Fields file(value, {kFilePartFields}, limits, path);
    if (!fields.adopt(file)) return;
    content.kind = ContentPart::Kind::kImage;
    content.param = part.path("image_file.file_id");
    content.text = value["image_file"]["file_id"].get<std::string>();
  } else if (name == "file") {
    const Fields checked(value, {kFileContentPartFields}, limits, path);
    if (!fields.adopt(checked)) return;
    read_file_part(Fields(value["file"], part.path("file")), fields, content);
    if (!fields.ok()) return;
  } else if (name == "video_url" || name == "video") {
    const Status status = read_video_part(value, path, content);
    if (!status.ok()) return fields.fail(status.param(), status.message());
  } else {
    return fields.fail(type_path, "unknown content part type '" + name.substr(0, 64) +
                                      "'; known are text, image_url, file, video_url and video");
  }
  message.parts.push_back(std::move(content));
}

void read_content(Fields& fields, const Fields& member, ChatMessage& message,
                  const ModelLimits& limits) {
  const Json* content = member.find("content");
  std::string path = member.path("content");
  const bool calls = message.role == "assistant" && message.extra.contains("tool_calls");
  if (calls && content != nullptr && content->is_array() && content->empty()) content = nullptr;
  if (content == nullptr && message.role == "assistant") {
    content = member.find("refusal");
    if (content != nullptr) path = member.path("refusal");
  }
  if (content == nullptr) {
    message.has_content = false;
    if (!calls) fields.fail(path, path + " is missing");
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
    read_part(fields, (*content)[i], element_path(path, i), message, limits);
  }
}

void check_call(Fields& fields, const Json& value, const std::string& path) {
  if (!value.is_object()) return fields.fail(path, path + " must be an object");
  const Fields function(value, path);
  const Json* name = function.find("name");
  if (name == nullptr || !name->is_string()) {
    return fields.fail(function.path("name"), function.path("name") + " must be a string");
  }
  // A string at OpenAI, an object in Hugging Face's chats.
  const Json* arguments = function.find("arguments");
  if (arguments != nullptr && !arguments->is_string() && !arguments->is_object()) {
    fields.fail(function.path("arguments"), function.path("arguments") + " must be a string");
  }
}

// Earlier calls of the assistant: tool_calls, or function_call as the older form has it.
void read_calls(Fields& fields, const Fields& member, ChatMessage& message) {
  if (const Json* call = member.find("function_call")) {
    check_call(fields, *call, member.path("function_call"));
    message.extra["tool_calls"] = Json::array({{{"type", "function"}, {"function", *call}}});
  }
  const Json* calls = member.find("tool_calls");
  if (calls == nullptr) return;
  const std::string path = member.path("tool_calls");
  if (!calls->is_array()) return fields.fail(path, path + " must be an array");
  for (size_t i = 0; i < calls->size() && fields.ok(); ++i) {
    const std::string where = element_path(path, i);
    if (!(*calls)[i].is_object()) return fields.fail(where, where + " must be an object");
    const Fields call((*calls)[i], {kToolCallFields}, fields.limits(), where);
    if (!fields.adopt(call)) return;
    const Json* function = call.find("function");
    check_call(fields, function != nullptr ? *function : Json(), call.path("function"));
  }
}

// A tool's result answers a call of before, as OpenAI has it.
void check_result(Fields& fields, const Fields& member, const ToolCallIds& calls) {
  const std::string path = member.path("tool_call_id");
  const Json* id = member.find("tool_call_id");
  if (id == nullptr) {
    if (!calls.nameless()) fields.fail(path, path + " is missing");
  } else if (calls.none()) {
    fields.fail(member.path("role"), member.path("role") +
                                         ": messages with role 'tool' must be a response to a "
                                         "preceding message with 'tool_calls'");
  } else if (const auto& name = id->get_ref<const std::string&>(); !calls.knows(name)) {
    fields.fail(path, path + ": '" + name.substr(0, 64) +
                          "' is not found in the 'tool_calls' of a preceding message");
  }
}

void read_message(Fields& fields, const Json& value, const std::string& path,
                  Conversation& conversation, ToolCallIds& calls, const ModelLimits& limits) {
  if (!value.is_object()) {
    return fields.fail(path, path + " must be an object, not " + std::string(kind_of(value)));
  }
  Fields member(value, {kChatMessageFields}, limits, path);
  ChatMessage message;
  member.read("role", message.role);
  if (!fields.adopt(member)) return;
  if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end()) {
    return fields.fail(member.path("role"),
                       member.path("role") + " must be system, developer, user, assistant or tool");
  }
  if (message.role == "tool") check_result(fields, member, calls);
  if (message.role == "developer") message.role = "system";
  if (message.role == "function") {  // a tool's result in the older form
    message.role = "tool";
    if (member.find("name") == nullptr) {
      return fields.fail(member.path("name"), member.path("name") + " is missing");
    }
  }
  for (const char* name : kPassedOn) {
    if (const Json* extra = member.find(name)) message.extra[name] = *extra;
  }
  const Json* reasoning = member.find("reasoning");
  if (reasoning != nullptr) message.extra.emplace("reasoning_content", Json(*reasoning));
  read_calls(fields, member, message);
  read_content(fields, member, message, limits);
  if (message.role == "assistant") calls.add(message);
  conversation.messages.push_back(std::move(message));
}

void read_logprobs(Fields& fields, SamplingParams& sampling) {
  bool wanted = false;
  std::optional<int> top;
  fields.read("logprobs", wanted);
  fields.read("top_logprobs", top);
  if (top.value_or(0) > 0 && !wanted)
    fields.fail("top_logprobs", "top_logprobs needs logprobs: true");
  if (wanted) sampling.logprobs = top.value_or(0);
}

// A text, or parts of it, that is not used.
void check_prediction(Fields& fields) {
  const Json* prediction = fields.ok() ? fields.find("prediction") : nullptr;
  if (prediction == nullptr) return;
  const Fields member(*prediction, "prediction");
  const Json* content = member.find("content");
  const std::string path = member.path("content");
  if (content->is_string()) return;
  if (!content->is_array() || content->empty()) {
    return fields.fail(path, path + " must be a string or an array of text parts");
  }
  for (size_t i = 0; i < content->size(); ++i) {
    const std::string where = element_path(path, i);
    if (!(*content)[i].is_object()) return fields.fail(where, where + " must be an object");
    fields.adopt(Fields((*content)[i], {kTextPartFields}, fields.limits(), where));
  }
}

// What an OpenAI client may ask to get back: text is all there is.
void read_modalities(Fields& fields) {
  const Json* modalities = fields.ok() ? fields.find("modalities") : nullptr;
  if (modalities == nullptr) return;
  if (!modalities->is_array()) return fields.fail("modalities", "modalities must be an array");
  for (size_t i = 0; i < modalities->size(); ++i) {
    if ((*modalities)[i] == "text") continue;
    const std::string path = "modalities[" + std::to_string(i) + "]";
    return fields.fail(path, path + " must be \"text\": this model answers in text alone");
  }
}

// What templates for retrieval show the model.
void read_documents(Fields& fields, Conversation& conversation) {
  const Json* documents = fields.ok() ? fields.find("documents") : nullptr;
  if (documents == nullptr) return;
  if (!documents->is_array()) return fields.fail("documents", "documents must be an array");
  for (size_t i = 0; i < documents->size(); ++i) {
    const std::string path = element_path("documents", i);
    if (!(*documents)[i].is_object()) return fields.fail(path, path + " must be an object");
  }
  conversation.documents = *documents;
}

void read_template(Fields& fields, const ModelLimits& limits, Conversation& conversation) {
  fields.read("add_special_tokens", conversation.add_special_tokens);
  fields.read("chat_template", conversation.chat_template);
  if (!conversation.chat_template.empty() && !limits.allow_chat_template) {
    fields.fail("chat_template",
                "a request brings no template here: start the server with "
                "--trust-request-chat-template, or set one with --chat-template");
  }
  if (const Json* kwargs = fields.ok() ? fields.find("chat_template_kwargs") : nullptr) {
    conversation.template_kwargs = *kwargs;
  }
  read_documents(fields, conversation);
}

std::optional<CaptionOptions> read_captions(Fields& fields) {
  CaptionOptions captions;
  std::string mode;
  fields.read("media_mode", mode);
  fields.read("caption_prompt", captions.prompt);
  fields.read("caption_max_tokens", captions.max_tokens);
  if (mode == "captions") return captions;
  return std::nullopt;
}

void read_effort(Fields& fields, Conversation& conversation) {
  fields.read("reasoning_effort", conversation.reasoning_effort);
  const Json* reasoning = fields.ok() ? fields.find("reasoning") : nullptr;
  if (reasoning == nullptr) return;
  Fields inner(*reasoning, "reasoning");
  inner.read("effort", conversation.reasoning_effort);
  fields.fail(inner.status());
}

// reasoning.mode and what belongs to it. The table has seen the types.
std::optional<FixedSteps> read_steps(const Fields& fields) {
  const Json* reasoning = fields.ok() ? fields.find("reasoning") : nullptr;
  if (reasoning == nullptr) return std::nullopt;
  Fields inner(*reasoning, "reasoning");
  std::string mode;
  FixedSteps steps;
  inner.read("mode", mode);
  inner.read("step_prefix", steps.step_prefix);
  inner.read("answer_prefix", steps.answer_prefix);
  inner.read("step_stop", steps.stop);
  if (const Json* count = inner.find("steps")) steps.steps = count->get<int>();
  inner.read("step_max_tokens", steps.max_tokens);
  if (mode == "fixed") return steps;
  return std::nullopt;
}

// Fixed steps are one chain of plain text.
void check_steps(Fields& fields, const ChatRequest& request) {
  if (!request.steps || !fields.ok()) return;
  const char* other = request.options.n != 1                        ? "n"
                      : request.tools.active()                      ? "tools"
                      : request.format                              ? "response_format"
                      : request.conversation.continue_final_message ? "continue_final_message"
                      : request.options.truncate_prompt             ? "truncate_prompt_tokens"
                      : request.options.sampling.prompt_logprobs    ? "prompt_logprobs"
                                                                    : nullptr;
  if (other != nullptr) {
    fields.fail("reasoning.mode",
                std::string("reasoning.mode fixed and ") + other + " exclude each other");
  }
}

}  // namespace

Conversation read_conversation(Fields& fields, const ModelLimits& limits) {
  Conversation conversation;
  const Json* messages = fields.find("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    fields.fail("messages", "messages must be an array with at least one message");
    return conversation;
  }
  if (messages->size() > limits.fields.max_messages) {
    fields.fail("messages", "messages holds more than " +
                                std::to_string(limits.fields.max_messages) + " messages");
    return conversation;
  }
  ToolCallIds calls;
  for (size_t i = 0; i < messages->size() && fields.ok(); ++i) {
    read_message(fields, (*messages)[i], element_path("messages", i), conversation, calls, limits);
  }
  if (fields.ok()) {
    const Status status = read_video_defaults(fields.object(), conversation);
    if (!status.ok()) fields.fail(status.param(), status.message());
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
  read_template(fields, limits, conversation);
  return conversation;
}

Result<ChatRequest> parse_chat_request(const Json& body, const ModelLimits& limits) {
  ChatRequest request;
  Fields fields(body, {kGenerationFields, kForeignFields, kChatFields, kTemplateFields}, limits);
  fields.read("model", request.model);
  request.conversation = read_conversation(fields, limits);
  request.options = read_generation_options(fields);
  read_logprobs(fields, request.options.sampling);
  read_modalities(fields);
  check_prediction(fields);
  request.format = read_structured_output(fields);
  fields.read("echo", request.echo);
  fields.read("include_reasoning", request.include_reasoning);
  request.tools = read_tools(fields, limits.fields);
  read_effort(fields, request.conversation);
  request.captions = read_captions(fields);
  request.steps = read_steps(fields);
  check_steps(fields, request);
  if (!fields.ok()) return fields.status();
  return request;
}

}  // namespace saccade::api
