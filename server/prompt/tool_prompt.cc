#include "server/prompt/tool_prompt.h"

#include <algorithm>

#include "server/json_limits.h"
#include "server/python_literal.h"

namespace saccade {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string how_to_call(std::string_view style) {
  if (style == "mistral") {
    return "To call functions, answer with [TOOL_CALLS] and a list:\n"
           "[TOOL_CALLS][{\"name\": <name>, \"arguments\": <object>}]";
  }
  if (style == "mistral_args") {
    return "To call functions, answer with\n[TOOL_CALLS]<name>[ARGS]<object>";
  }
  if (style == "llama3_json") {
    return "To call a function, answer with nothing but\n"
           "{\"name\": <name>, \"parameters\": <object>}";
  }
  if (style == "json") {
    return "To call a function, answer with nothing but\n"
           "{\"name\": <name>, \"arguments\": <object>}";
  }
  if (style == "pythonic") {
    return "To call functions, answer with nothing but a list of calls:\n"
           "[name(argument=value, ...), ...]";
  }
  if (style == "react") {
    return "To call a function, write\n"
           "Thought: <why>\nAction: <name>\nAction Input: <object>\n"
           "and wait for the Observation. When you know the answer, write\nFinal Answer: <answer>";
  }
  return "To call a function, write\n"
         "<tool_call>\n{\"name\": <name>, \"arguments\": <object>}\n</tool_call>";
}

std::string instructions(const Json& tools, std::string_view style) {
  std::string text = "You can call functions. Each is described by a line of JSON:\n<tools>\n";
  for (const Json& tool : tools) text += text_of(tool) + "\n";
  return text + "</tools>\n" + how_to_call(style);
}

void append_text(ChatMessage& message, const std::string& text) {
  ContentPart* last = message.parts.empty() ? nullptr : &message.parts.back();
  if (last != nullptr && last->kind == ContentPart::Kind::kText) {
    last->text += (last->text.empty() ? "" : "\n\n") + text;
  } else {
    message.parts.push_back({ContentPart::Kind::kText, text, {}});
  }
  message.has_content = true;
}

// name(a=1, b="x")
std::string python_call(const std::string& name, const Json& arguments) {
  std::string text;
  for (const auto& [key, value] : arguments.items()) {
    text += (text.empty() ? "" : ", ") + key + "=" + python_literal(value);
  }
  return name + "(" + text + ")";
}

std::string call_text(const Json& call, std::string_view style) {
  const Json function = call.value("function", Json::object());
  const Json named = function.value("name", Json(""));
  const std::string name = named.is_string() ? named.get<std::string>() : text_of(named);
  const Json arguments = function.value("arguments", Json::object());
  if (style == "pythonic" && arguments.is_object()) return python_call(name, arguments);
  if (style == "react") return "Action: " + name + "\nAction Input: " + text_of(arguments);
  if (style == "mistral_args") return "[TOOL_CALLS]" + name + "[ARGS]" + text_of(arguments);
  const char* key = style == "llama3_json" ? "parameters" : "arguments";
  const std::string object = text_of({{"name", name}, {key, arguments}});
  return style == "hermes" ? "<tool_call>\n" + object + "\n</tool_call>" : object;
}

// All calls of one turn.
std::string calls_text(const Json& calls, std::string_view style) {
  const bool list = style == "mistral" || style == "pythonic";
  const char* separator = list ? ", " : style == "llama3_json" ? "; " : "\n";
  std::string text;
  for (const Json& call : calls) text += (text.empty() ? "" : separator) + call_text(call, style);
  if (!list) return text;
  return (style == "mistral" ? "[TOOL_CALLS][" : "[") + text + "]";
}

// The result goes on as a user's turn, which every template has.
void result_as_text(ChatMessage& message, std::string_view style) {
  message.role = "user";
  const char* before = style == "react" ? "Observation: " : "<tool_response>\n";
  message.parts.insert(message.parts.begin(), {ContentPart::Kind::kText, before, {}});
  if (style != "react") {
    message.parts.push_back({ContentPart::Kind::kText, "\n</tool_response>", {}});
  }
  // Texts that belong together are one part: templates may put something between parts.
  std::vector<ContentPart> joined;
  for (ContentPart& part : message.parts) {
    const bool text = part.kind == ContentPart::Kind::kText;
    if (text && !joined.empty() && joined.back().kind == ContentPart::Kind::kText) {
      joined.back().text += part.text;
    } else {
      joined.push_back(std::move(part));
    }
  }
  message.parts = std::move(joined);
  message.has_content = true;
  message.extra.erase("tool_call_id");
  message.extra.erase("name");
}

}  // namespace

Json with_parsed_arguments(Json tool_calls) {
  if (!tool_calls.is_array()) return tool_calls;
  for (Json& call : tool_calls) {
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) continue;
    Json& function = call["function"];
    Json& arguments = function["arguments"];
    if (arguments.is_null() || arguments == "") arguments = Json::object();
    if (!arguments.is_string()) continue;
    const auto& text = arguments.get_ref<const std::string&>();
    if (!check_json_size(text, "").ok()) continue;
    Json parsed = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (parsed.is_object()) arguments = std::move(parsed);
  }
  return tool_calls;
}

void write_tools_as_text(Conversation& conversation, std::string_view style) {
  for (ChatMessage& message : conversation.messages) {
    if (message.role == "tool") {
      result_as_text(message, style);
    } else if (const auto calls = message.extra.find("tool_calls"); calls != message.extra.end()) {
      const std::string text = calls_text(with_parsed_arguments(*calls), style);
      message.extra.erase("tool_calls");
      append_text(message, text);
    }
  }
  if (conversation.tools.empty()) return;
  const std::string text = instructions(conversation.tools, style);
  auto& messages = conversation.messages;
  if (messages.empty() || messages.front().role != "system") {
    ChatMessage system;
    system.role = "system";
    system.plain_string = true;
    messages.insert(messages.begin(), std::move(system));
  }
  append_text(messages.front(), text);
}

}  // namespace saccade
