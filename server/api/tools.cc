#include "server/api/tools.h"

#include <algorithm>

namespace saccade::api {
namespace {

constexpr size_t kMaxNameLength = 64;

bool valid_name(const std::string& name) {
  return !name.empty() && name.size() <= kMaxNameLength &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
         });
}

bool adopt(Fields& outer, const Fields& inner) {
  if (!inner.ok()) outer.fail(inner.status().param(), inner.status().message());
  return inner.ok();
}

void read_function(Fields& fields, const Json& value, const std::string& path,
                   ToolOptions& options) {
  if (!value.is_object()) return fields.fail(path, path + " must be an object");
  Fields function(value, path);
  ToolDefinition tool;
  std::string description;
  function.read("name", tool.name);
  function.read("description", description);
  function.read("strict", tool.strict);
  if (!adopt(fields, function)) return;
  if (!valid_name(tool.name)) {
    const std::string where = function.path("name");
    return fields.fail(where, where + " must be 1 to 64 letters, digits, _ or -");
  }
  for (const ToolDefinition& other : options.tools) {
    if (other.name != tool.name) continue;
    const std::string where = function.path("name");
    return fields.fail(where, where + " is there twice");
  }
  tool.path = function.path("parameters");
  if (const Json* parameters = function.find("parameters")) {
    if (!parameters->is_object()) {
      return fields.fail(tool.path, tool.path + " must be a JSON schema, not " +
                                        std::string(kind_of(*parameters)));
    }
    const auto type = parameters->find("type");
    if (type != parameters->end() && *type != "object") {
      return fields.fail(tool.path + ".type", tool.path + ".type must be object");
    }
    tool.parameters = *parameters;
  }
  options.listed.push_back({{"type", "function"}, {"function", value}});
  options.tools.push_back(std::move(tool));
}

void read_tool(Fields& fields, const Json& value, const std::string& path, ToolOptions& options) {
  if (!value.is_object()) return fields.fail(path, path + " must be an object");
  Fields tool(value, path);
  std::string type;
  tool.read("type", type);
  if (!adopt(fields, tool)) return;
  if (type != "function") {
    return fields.fail(tool.path("type"), tool.path("type") + " must be function");
  }
  const Json* function = tool.find("function");
  if (function == nullptr) {
    return fields.fail(tool.path("function"), tool.path("function") + " is missing");
  }
  read_function(fields, *function, tool.path("function"), options);
}

// Leaves the tool of that name alone.
void choose(Fields& fields, const Json& name, const std::string& path, ToolOptions& options) {
  if (!name.is_string()) return fields.fail(path, path + " must be a string");
  std::erase_if(options.tools, [&](const ToolDefinition& tool) { return name != tool.name; });
  if (options.tools.empty()) {
    return fields.fail(
        path, "there is no tool named '" + name.get<std::string>().substr(0, kMaxNameLength) + "'");
  }
  options.choice = ToolOptions::Choice::kNamed;
}

void read_choice(Fields& fields, const char* name, const Json& value, ToolOptions& options) {
  using Choice = ToolOptions::Choice;
  if (value == "none") {
    options.choice = Choice::kNone;
  } else if (value == "auto") {
    options.choice = Choice::kAuto;
  } else if (value == "required" && !options.functions) {
    options.choice = Choice::kRequired;
  } else if (value.is_object()) {
    const Fields choice(value, name);
    if (options.functions) {
      const Json* called = choice.find("name");
      return choose(fields, called != nullptr ? *called : Json(), choice.path("name"), options);
    }
    const Json* type = choice.find("type");
    if (type == nullptr || *type != "function") {
      return fields.fail(choice.path("type"), choice.path("type") + " must be function");
    }
    const Json* function = choice.find("function");
    if (function == nullptr || !function->is_object()) {
      return fields.fail(choice.path("function"), choice.path("function") + " must be an object");
    }
    const Fields inner(*function, choice.path("function"));
    const Json* called = inner.find("name");
    choose(fields, called != nullptr ? *called : Json(), inner.path("name"), options);
  } else {
    fields.fail(name, std::string(name) + (options.functions
                                               ? " must be none, auto or an object with a name"
                                               : " must be none, auto, required or a function"));
  }
}

void read_list(Fields& fields, const char* name, const Json& list, const FieldLimits& limits,
               ToolOptions& options) {
  if (!list.is_array()) {
    return fields.fail(name,
                       std::string(name) + " must be an array, not " + std::string(kind_of(list)));
  }
  if (list.size() > limits.max_tools) {
    return fields.fail(name, "at most " + std::to_string(limits.max_tools) + " tools are taken");
  }
  for (size_t i = 0; i < list.size() && fields.ok(); ++i) {
    const std::string path = std::string(name) + "[" + std::to_string(i) + "]";
    if (options.functions) {
      read_function(fields, list[i], path, options);
    } else {
      read_tool(fields, list[i], path, options);
    }
  }
}

}  // namespace

std::vector<std::string> ToolOptions::names() const {
  std::vector<std::string> names;
  for (const ToolDefinition& tool : tools) names.push_back(tool.name);
  return names;
}

ToolOptions read_tools(Fields& fields, const FieldLimits& limits) {
  ToolOptions options;
  if (!fields.ok()) return options;
  const Json* tools = fields.find("tools");
  const Json* functions = fields.find("functions");
  if (tools != nullptr && functions != nullptr) {
    fields.fail("functions", "functions and tools exclude each other");
    return options;
  }
  options.functions = functions != nullptr;
  const char* list_name = options.functions ? "functions" : "tools";
  const char* choice_name = options.functions ? "function_call" : "tool_choice";
  if (const Json* list = options.functions ? functions : tools) {
    read_list(fields, list_name, *list, limits, options);
  }
  if (!options.tools.empty()) options.choice = ToolOptions::Choice::kAuto;
  for (const char* name : {"tool_choice", "function_call"}) {
    const Json* choice = fields.ok() ? fields.find(name) : nullptr;
    if (choice == nullptr) continue;
    if (name == std::string_view(choice_name) && !options.tools.empty()) {
      read_choice(fields, name, *choice, options);
    } else if (*choice != "none" && *choice != "auto") {
      fields.fail(name, std::string(name) + " needs " + (name[0] == 't' ? "tools" : "functions"));
    }
  }
  fields.read("parallel_tool_calls", options.parallel);
  if (options.functions) options.parallel = false;  // that form holds one
  return options;
}

std::optional<GrammarSpec> tool_grammar(const ToolOptions& options, ToolStyle style,
                                        bool marker_written) {
  if (!options.active()) return std::nullopt;
  const bool marked = style == ToolStyle::kHermes || style == ToolStyle::kMistral;
  const bool strict = std::any_of(options.tools.begin(), options.tools.end(),
                                  [](const ToolDefinition& tool) { return tool.strict; });
  if (!options.forced() && !(strict && marked && !marker_written)) return std::nullopt;
  Json tools = Json::array();
  for (const ToolDefinition& tool : options.tools) {
    // Without a schema of its own to follow, a call in an automatic answer takes any object.
    const bool any = !options.forced() && !tool.strict;
    tools.push_back({{"name", tool.name},
                     {"parameters", any ? Json::object() : tool.parameters},
                     {"path", tool.path}});
  }
  const Json description = {
      {"style", tool_style_name(style)},
      {"parallel", options.parallel && options.choice != ToolOptions::Choice::kNamed},
      {"among_text", !options.forced()},
      {"marker", !marker_written},
      {"tools", std::move(tools)}};
  return GrammarSpec{GrammarSpec::Kind::kToolCalls, to_text(description),
                     options.functions ? "functions" : "tools"};
}

}  // namespace saccade::api
