#include "server/api/request/tools.h"

#include <algorithm>

#include "server/api/fields/request_tables.h"

namespace saccade::api {
namespace {

// The member of a function that holds the arguments' schema.
const char* schema_name_of(ToolForm form) {
  return form == ToolForm::kMessages ? "input_schema" : "parameters";
}

bool known_name(const std::string& name, const ToolOptions& options) {
  return std::any_of(options.tools.begin(), options.tools.end(),
                     [&](const ToolDefinition& tool) { return tool.name == name; });
}

// Whom a tool may be called by: the model itself must be among them, nobody else calls here.
void check_callers(Fields& fields, const Fields& function) {
  const Json* callers = function.find("allowed_callers");
  if (callers == nullptr) return;
  const bool direct = callers->is_array() &&
                      std::find(callers->begin(), callers->end(), "direct") != callers->end();
  const std::string path = function.path("allowed_callers");
  if (!direct) fields.fail(path, path + " must be an array that holds direct");
}

// What templates read of a schema; the rest counts where the schema is enforced.
void check_parameters(const Fields& schema, Fields& fields) {
  const Json* type = schema.find("type");
  if (type != nullptr && *type != "object") {
    return fields.fail(schema.path("type"), schema.path("type") + " must be object");
  }
  const Json* properties = schema.find("properties");
  if (properties != nullptr && !properties->is_object()) {
    return fields.fail(schema.path("properties"), schema.path("properties") + " must be an object");
  }
  const Json* required = schema.find("required");
  if (required == nullptr) return;
  const std::string path = schema.path("required");
  if (!required->is_array()) return fields.fail(path, path + " must be an array of strings");
  for (size_t i = 0; i < required->size(); ++i) {
    if ((*required)[i].is_string()) continue;
    return fields.fail(element_path(path, i), element_path(path, i) + " must be a string");
  }
}

void read_function(Fields& fields, const Json& value, const std::string& path, ToolForm form,
                   ToolOptions& options) {
  const char* schema_name = schema_name_of(form);
  if (!value.is_object()) return fields.fail(path, path + " must be an object");
  Fields function(value, {kToolFields}, fields.limits(), path);
  ToolDefinition tool;
  function.read("name", tool.name);
  std::optional<bool> strict;
  function.read("strict", strict);
  if (!fields.adopt(function)) return;
  check_callers(fields, function);
  tool.by_default = !strict && form == ToolForm::kResponses;
  tool.strict = strict.value_or(tool.by_default);
  const std::string name_path = function.path("name");
  if (!is_valid_name(tool.name)) {
    return fields.fail(name_path, name_path + " must be 1 to 64 letters, digits, _ or -");
  }
  if (known_name(tool.name, options)) {
    return fields.fail(name_path, name_path + " is there twice");
  }
  tool.path = function.path(schema_name);
  if (const Json* parameters = function.find(schema_name)) {
    if (!parameters->is_object()) {
      return fields.fail(tool.path, tool.path + " must be a JSON schema, not " +
                                        std::string(kind_of(*parameters)));
    }
    check_parameters(Fields(*parameters, tool.path), fields);
    tool.parameters = *parameters;
  }
  options.tools.push_back(std::move(tool));
}

// As templates know it, whatever the route calls its members.
Json listed_function(const Fields& tool, const char* schema_name) {
  Json function = Json::object();
  for (const char* name : {"name", "description", schema_name}) {
    const Json* member = tool.find(name);
    if (member != nullptr) function[name == schema_name ? "parameters" : name] = *member;
  }
  return function;
}

void read_tool(Fields& fields, const Json& value, const std::string& path, ToolForm form,
               ToolOptions& options) {
  if (!value.is_object()) return fields.fail(path, path + " must be an object");
  Fields tool(value, path);
  const bool anthropic = form == ToolForm::kMessages;
  std::string type = anthropic ? "custom" : "";
  tool.read("type", type);
  if (!fields.adopt(tool)) return;
  if (type != (anthropic ? "custom" : "function")) {
    return fields.fail(tool.path("type"), tool.path("type") + " must be " +
                                              (anthropic ? "custom or absent" : "function"));
  }
  const char* needed = form == ToolForm::kChat ? "function" : anthropic ? "input_schema" : "name";
  const Json* member = tool.find(needed);
  if (member == nullptr) return fields.fail(tool.path(needed), tool.path(needed) + " is missing");
  if (form == ToolForm::kChat) {
    read_function(fields, *member, tool.path(needed), form, options);
    options.listed.push_back({{"type", "function"}, {"function", *member}});
  } else {
    read_function(fields, value, path, form, options);
    options.listed.push_back(
        {{"type", "function"}, {"function", listed_function(tool, schema_name_of(form))}});
  }
}

void read_list(Fields& fields, const char* name, const Json& list, const FieldLimits& limits,
               ToolForm form, ToolOptions& options) {
  if (!list.is_array()) {
    return fields.fail(name,
                       std::string(name) + " must be an array, not " + std::string(kind_of(list)));
  }
  if (list.size() > limits.max_tools) {
    return fields.fail(name, "at most " + std::to_string(limits.max_tools) + " tools are taken");
  }
  for (size_t i = 0; i < list.size() && fields.ok(); ++i) {
    const std::string path = element_path(name, i);
    if (!options.functions) {
      read_tool(fields, list[i], path, form, options);
      continue;
    }
    read_function(fields, list[i], path, form, options);
    options.listed.push_back({{"type", "function"}, {"function", list[i]}});
  }
}

// Whether a choice may stand there without tools: it asks for no call.
bool asks_nothing(const Json& choice) {
  const auto harmless = [](const Json& name) { return name == "none" || name == "auto"; };
  return harmless(choice) ||
         (choice.is_object() && choice.contains("type") && harmless(choice["type"]));
}

}  // namespace

std::vector<std::string> ToolOptions::names() const {
  std::vector<std::string> names;
  for (const ToolDefinition& tool : tools) names.push_back(tool.name);
  return names;
}

bool ToolOptions::strict_by_default() const {
  return std::any_of(tools.begin(), tools.end(),
                     [](const ToolDefinition& tool) { return tool.by_default; });
}

ToolOptions ToolOptions::loosened() const {
  ToolOptions options = *this;
  for (ToolDefinition& tool : options.tools) tool.strict = tool.strict && !tool.by_default;
  return options;
}

ToolOptions read_tools(Fields& fields, const FieldLimits& limits, ToolForm form) {
  ToolOptions options;
  if (!fields.ok()) return options;
  const Json* tools = fields.find("tools");
  const Json* functions = form == ToolForm::kChat ? fields.find("functions") : nullptr;
  if (tools != nullptr && functions != nullptr) {
    fields.fail("functions", "functions and tools exclude each other");
    return options;
  }
  options.functions = functions != nullptr;
  const char* list_name = options.functions ? "functions" : "tools";
  const char* choice_name = options.functions ? "function_call" : "tool_choice";
  if (const Json* list = options.functions ? functions : tools) {
    read_list(fields, list_name, *list, limits, form, options);
  }
  if (!options.tools.empty()) options.choice = ToolOptions::Choice::kAuto;
  for (const char* name : {"tool_choice", "function_call"}) {
    const Json* choice = fields.ok() ? fields.find(name) : nullptr;
    if (choice == nullptr) continue;
    if (name == std::string_view(choice_name) && !options.tools.empty()) {
      read_tool_choice(fields, name, *choice, form, options);
    } else if (!asks_nothing(*choice)) {
      fields.fail(name, std::string(name) + " needs " + (name[0] == 't' ? "tools" : "functions"));
    }
  }
  fields.read("parallel_tool_calls", options.parallel);
  if (options.functions) options.parallel = false;  // that form holds one
  return options;
}

std::optional<GrammarSpec> tool_grammar(const ToolOptions& options, ToolStyle style) {
  if (!options.active()) return std::nullopt;
  const bool marked = style == ToolStyle::kHermes || style == ToolStyle::kMistral ||
                      style == ToolStyle::kMistralArgs;
  const bool strict = std::any_of(options.tools.begin(), options.tools.end(),
                                  [](const ToolDefinition& tool) { return tool.strict; });
  if (!options.forced() && !(strict && marked)) return std::nullopt;
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
      {"tools", std::move(tools)}};
  return GrammarSpec{GrammarSpec::Kind::kToolCalls, to_text(description),
                     options.functions ? "functions" : "tools"};
}

}  // namespace saccade::api
