#include "server/api/messages/messages_request.h"

#include "server/api/fields/request_tables.h"
#include "server/api/request/tool_call_ids.h"
#include "server/media/media_loader.h"

namespace saccade::api {
namespace {

// What tools gave back, in one message, to the calls of those before.
struct ToolResults {
  const ToolCallIds& calls;
  std::vector<ChatMessage> messages = {};
};

// {"type": "base64", "media_type", "data"}, {"type": "url", "url"} or {"type": "file", "file_id"}.
void read_source(const Json& source, const std::string& path, const ModelLimits& limits,
                 Fields& fields, ContentPart& content) {
  const Fields checked(source, {kMessageSourceFields}, limits, path);
  fields.fail(checked.status());
  if (!fields.ok()) return;
  const auto& type = checked.find("type")->get_ref<const std::string&>();
  const char* name = type == "base64" ? "data" : type == "url" ? "url" : "file_id";
  content.kind = ContentPart::Kind::kImage;
  content.param = checked.path(name);
  const Json* value = checked.find(name);
  if (value == nullptr) return fields.fail(content.param, content.param + " is missing");
  if (type != "base64") {
    content.text = value->get<std::string>();
    return;
  }
  const Json* media_type = checked.find("media_type");
  if (media_type == nullptr) {
    return fields.fail(checked.path("media_type"), checked.path("media_type") + " is missing");
  }
  if (!is_picture_type(media_type->get_ref<const std::string&>())) {
    return fields.fail(checked.path("media_type"),
                       checked.path("media_type") + " must be one of " + kPictureTypes);
  }
  content.text = "data:" + media_type->get<std::string>() + ";base64," + value->get<std::string>();
}

void read_text(const Fields& block, Fields& fields, ChatMessage& message) {
  const Json* text = block.find("text");
  const Json* citations = block.find("citations");  // of an earlier answer
  if (citations != nullptr && !citations->is_array()) {
    return fields.fail(block.path("citations"), block.path("citations") + " must be an array");
  }
  const std::string path = block.path("text");
  if (text == nullptr) return fields.fail(path, path + " is missing");
  message.parts.push_back({ContentPart::Kind::kText, text->get<std::string>(), path});
}

// Where a block's content comes from: an object, of a search result a text. Null after a mistake.
const Json* find_source(const Fields& block, bool as_text, Fields& fields) {
  const Json* source = block.find("source");
  const std::string path = block.path("source");
  if (source == nullptr) {
    fields.fail(path, path + " is missing");
  } else if (as_text ? !source->is_string() : !source->is_object()) {
    fields.fail(path, path + " must be " + (as_text ? "a string" : "an object") + ", not " +
                          std::string(kind_of(*source)));
  }
  return fields.ok() ? source : nullptr;
}

void read_image(const Fields& block, const ModelLimits& limits, Fields& fields,
                ChatMessage& message) {
  const Json* source = find_source(block, /*as_text=*/false, fields);
  if (source == nullptr) return;
  ContentPart content;
  read_source(*source, block.path("source"), limits, fields, content);
  message.parts.push_back(std::move(content));
}

// Templates show it where the model was trained to see it again.
void read_thinking(const Fields& block, ChatMessage& message) {
  const Json* thinking = block.find("thinking");
  if (thinking == nullptr) return;
  Json& reasoning = message.extra["reasoning_content"];
  reasoning = (reasoning.is_string() ? reasoning.get<std::string>() : std::string()) +
              thinking->get<std::string>();
}

// A call of the assistant, as templates know it.
void read_tool_use(const Fields& block, Fields& fields, ChatMessage& message) {
  for (const char* name : {"id", "name", "input"}) {
    if (block.find(name) == nullptr) {
      return fields.fail(block.path(name), block.path(name) + " is missing");
    }
  }
  Json& calls = message.extra["tool_calls"];
  if (calls.is_null()) calls = Json::array();
  calls.push_back(
      {{"id", *block.find("id")},
       {"type", "function"},
       {"function",
        {{"name", *block.find("name")}, {"arguments", to_text(*block.find("input"))}}}});
}

void read_content(const Json& content, const std::string& path, const ModelLimits& limits,
                  Fields& fields, ChatMessage& message, ToolResults* results);

void read_stored_document(const Fields& source, Fields& fields, ChatMessage& message) {
  const Json* id = source.find("file_id");
  const std::string path = source.path("file_id");
  if (id == nullptr) return fields.fail(path, path + " is missing");
  message.parts.push_back({ContentPart::Kind::kStoredFile, id->get<std::string>(), path});
}

// {"type": "text", "media_type": "text/plain", "data"}, {"type": "content", "content"} (texts and
// pictures) or {"type": "file", "file_id"}. Nobody here reads a PDF.
void read_document_source(const Json& value, const std::string& path, const ModelLimits& limits,
                          Fields& fields, ChatMessage& message) {
  const Fields source(value, {kDocumentSourceFields}, limits, path);
  fields.fail(source.status());
  if (!fields.ok()) return;
  const auto& type = source.find("type")->get_ref<const std::string&>();
  if (type == "file") return read_stored_document(source, fields, message);
  const Json* media_type = source.find("media_type");
  if ((type != "text" && type != "content") || (media_type && *media_type != "text/plain")) {
    return fields.fail(source.path("type"),
                       source.path("type") +
                           ": PDF documents are not supported; send a document's "
                           "text (text or content), or its pages as pictures");
  }
  const char* name = type == "text" ? "data" : "content";
  const Json* content = source.find(name);
  if (content == nullptr) return fields.fail(source.path(name), source.path(name) + " is missing");
  ChatMessage document;
  read_content(*content, source.path(name), limits, fields, document, nullptr);
  std::move(document.parts.begin(), document.parts.end(), std::back_inserter(message.parts));
}

void refuse_citations(const Fields& block, Fields& fields) {
  const Json* citations = block.find("citations");
  if (citations == nullptr) return;
  const std::string path = block.path("citations");
  if (!citations->is_object()) return fields.fail(path, path + " must be an object");
  Fields wish(*citations, path);
  bool cites = false;
  wish.read("enabled", cites);
  if (cites)
    wish.fail(wish.path("enabled"), wish.path("enabled") + ": citations are not supported");
  fields.adopt(wish);
}

void append_line(const Fields& block, const char* name, ChatMessage& message) {
  const Json* text = block.find(name);
  if (text == nullptr) return;
  message.parts.push_back(
      {ContentPart::Kind::kText, text->get<std::string>() + "\n", block.path(name)});
}

// A document is the text it holds, below its title and context and apart from what follows.
void read_document(const Fields& block, const ModelLimits& limits, Fields& fields,
                   ChatMessage& message) {
  refuse_citations(block, fields);
  const Json* source = find_source(block, /*as_text=*/false, fields);
  if (source == nullptr) return;
  append_line(block, "title", message);
  append_line(block, "context", message);
  read_document_source(*source, block.path("source"), limits, fields, message);
  if (!message.parts.empty() && message.parts.back().kind == ContentPart::Kind::kStoredFile) return;
  message.parts.push_back({ContentPart::Kind::kText, "\n\n", block.path("source")});
}

// A search result is its text, below its title and where it was found.
void read_search_result(const Fields& block, const ModelLimits& limits, Fields& fields,
                        ChatMessage& message) {
  refuse_citations(block, fields);
  for (const char* name : {"title", "content"}) {
    if (block.find(name) == nullptr)
      fields.fail(block.path(name), block.path(name) + " is missing");
  }
  if (find_source(block, /*as_text=*/true, fields) == nullptr) return;
  append_line(block, "title", message);
  append_line(block, "source", message);
  ChatMessage found;
  read_content(*block.find("content"), block.path("content"), limits, fields, found, nullptr);
  for (ContentPart& part : found.parts) {
    if (part.kind != ContentPart::Kind::kText) {
      return fields.fail(part.param, part.param + ": a search result holds text blocks alone");
    }
    message.parts.push_back(std::move(part));
  }
  message.parts.push_back({ContentPart::Kind::kText, "\n\n", block.path("content")});
}

// What a tool gave back becomes a message of its own, before the user's words.
void read_tool_result(const Fields& block, const ModelLimits& limits, Fields& fields,
                      ToolResults* results) {
  const Json* id = block.find("tool_use_id");
  if (id == nullptr || results == nullptr) {
    return fields.fail(block.path("tool_use_id"), block.path("tool_use_id") + " is missing");
  }
  if (const auto& name = id->get_ref<const std::string&>(); !results->calls.knows(name)) {
    return fields.fail(
        block.path("tool_use_id"),
        "unexpected `tool_use_id` found in `tool_result` blocks: " + name.substr(0, 64) +
            ". Each `tool_result` block must have a corresponding `tool_use` block "
            "in a previous message");
  }
  ChatMessage result;
  result.role = "tool";
  result.extra["tool_call_id"] = *id;
  const Json* content = block.find("content");
  if (content != nullptr && !(content->is_array() && content->empty())) {
    read_content(*content, block.path("content"), limits, fields, result, nullptr);
  }
  results->messages.push_back(std::move(result));
}

void read_block(const Json& value, const std::string& path, const ModelLimits& limits,
                Fields& fields, ChatMessage& message, ToolResults* results) {
  if (!value.is_object()) {
    return fields.fail(path, path + " must be an object, not " + std::string(kind_of(value)));
  }
  const Fields block(value, {kMessageBlockFields}, limits, path);
  fields.fail(block.status());
  if (!fields.ok()) return;
  const auto& type = block.find("type")->get_ref<const std::string&>();
  if (type == "text") return read_text(block, fields, message);
  if (type == "image") return read_image(block, limits, fields, message);
  if (type == "document") return read_document(block, limits, fields, message);
  if (type == "search_result") return read_search_result(block, limits, fields, message);
  if (type == "tool_use") return read_tool_use(block, fields, message);
  if (type == "tool_result") return read_tool_result(block, limits, fields, results);
  if (type == "thinking") return read_thinking(block, message);
  if (type == "redacted_thinking") return;
  fields.fail(block.path("type"),
              "unknown content block type '" + type.substr(0, 64) +
                  "'; known are text, image, document, search_result, tool_use and tool_result");
}

// `results` null: a result inside a result is refused.
void read_content(const Json& content, const std::string& path, const ModelLimits& limits,
                  Fields& fields, ChatMessage& message, ToolResults* results) {
  if (content.is_string()) {
    message.plain_string = true;
    message.parts.push_back({ContentPart::Kind::kText, content.get<std::string>(), path});
    return;
  }
  if (!content.is_array() || content.empty()) {
    return fields.fail(path, path + " must be a string or an array of blocks");
  }
  for (size_t i = 0; i < content.size() && fields.ok(); ++i) {
    read_block(content[i], element_path(path, i), limits, fields, message, results);
  }
}

void read_message(const Json& value, const std::string& path, const ModelLimits& limits,
                  Fields& fields, Conversation& conversation, ToolCallIds& calls) {
  if (!value.is_object()) {
    return fields.fail(path, path + " must be an object, not " + std::string(kind_of(value)));
  }
  const Fields checked(value, {kMessageFields}, limits, path);
  fields.fail(checked.status());
  if (!fields.ok()) return;
  ChatMessage message;
  message.role = checked.find("role")->get<std::string>();
  ToolResults results{calls};
  read_content(*checked.find("content"), checked.path("content"), limits, fields, message,
               &results);
  auto& messages = conversation.messages;
  std::move(results.messages.begin(), results.messages.end(), std::back_inserter(messages));
  calls.add(message);
  message.has_content = !message.parts.empty();
  if (message.has_content || message.extra.contains("tool_calls")) {
    messages.push_back(std::move(message));
  }
}

void read_system(Fields& fields, const ModelLimits& limits, Conversation& conversation) {
  const Json* system = fields.ok() ? fields.find("system") : nullptr;
  if (system == nullptr || (system->is_array() && system->empty())) return;
  ChatMessage message;
  message.role = "system";
  read_content(*system, "system", limits, fields, message, nullptr);
  conversation.messages.push_back(std::move(message));
}

void read_messages(Fields& fields, const ModelLimits& limits, Conversation& conversation) {
  const Json* messages = fields.ok() ? fields.find("messages") : nullptr;
  if (messages == nullptr) return;
  if (!messages->is_array() || messages->empty()) {
    return fields.fail("messages", "messages must be an array with at least one message");
  }
  if (messages->size() > limits.fields.max_messages) {
    return fields.fail("messages", "messages holds more than " +
                                       std::to_string(limits.fields.max_messages) + " messages");
  }
  ToolCallIds calls;
  for (size_t i = 0; i < messages->size() && fields.ok(); ++i) {
    read_message((*messages)[i], element_path("messages", i), limits, fields, conversation, calls);
  }
  if (!fields.ok()) return;
  if (conversation.messages.empty()) {
    return fields.fail("messages", "the messages hold nothing to answer");
  }
  // The words of an assistant at the end are the beginning of the answer.
  if (conversation.messages.back().role == "assistant") {
    if (conversation.messages.back().extra.contains("tool_calls")) {
      return fields.fail("messages", "the last message calls a tool: its tool_result is missing");
    }
    conversation.continue_final_message = true;
    conversation.add_generation_prompt = false;
  }
}

// Whether to think, and how much.
void read_thinking_wish(Fields& fields, Conversation& conversation) {
  if (!fields.ok()) return;
  const Json* config = fields.find("output_config");
  if (config != nullptr) {
    Fields(*config, "output_config").read("effort", conversation.reasoning_effort);
  }
  const Json* thinking = fields.find("thinking");
  if (thinking == nullptr) return;
  const Fields wish(*thinking, "thinking");
  const Json& type = *wish.find("type");
  if (type == "enabled" && wish.find("budget_tokens") == nullptr) {
    return fields.fail("thinking.budget_tokens", "thinking.budget_tokens is missing");
  }
  if (type == "disabled") {
    conversation.reasoning_effort = "none";
  } else if (conversation.reasoning_effort.empty()) {
    conversation.reasoning_effort = "medium";
  }
}

// output_config.format: {"type": "json_schema", "schema": {...}}
std::optional<GrammarSpec> read_format(Fields& fields, const ModelLimits& limits) {
  const Json* config = fields.ok() ? fields.find("output_config") : nullptr;
  if (config == nullptr || !config->contains("format") || (*config)["format"].is_null()) {
    return std::nullopt;
  }
  const Fields format((*config)["format"], {kOutputFormatFields}, limits, "output_config.format");
  fields.fail(format.status());
  if (!format.ok()) return std::nullopt;
  return GrammarSpec{GrammarSpec::Kind::kJsonSchema, to_text(*format.find("schema")),
                     format.path("schema")};
}

Result<MessagesRequest> parse(const Json& body, const ModelLimits& limits, bool count_only) {
  MessagesRequest request;
  Fields fields(body, {kGenerationFields, kForeignFields, kMessagesFields}, limits);
  fields.read("model", request.model);
  read_system(fields, limits, request.conversation);
  read_messages(fields, limits, request.conversation);
  request.options = read_generation_options(fields);
  fields.read_strings("stop_sequences", request.options.stop);
  if (request.options.n != 1) fields.fail("n", "a message has one answer: n must be 1");
  if (!count_only && !request.options.max_tokens) {
    fields.fail("max_tokens", "max_tokens is missing");
  }
  request.format = read_format(fields, limits);
  read_thinking_wish(fields, request.conversation);
  request.tools = read_tools(fields, limits.fields, ToolForm::kMessages);
  if (!fields.ok()) return fields.status();
  return request;
}

}  // namespace

Result<MessagesRequest> parse_messages_request(const Json& body, const ModelLimits& limits) {
  return parse(body, limits, false);
}

Result<MessagesRequest> parse_count_request(const Json& body, const ModelLimits& limits) {
  return parse(body, limits, true);
}

}  // namespace saccade::api
