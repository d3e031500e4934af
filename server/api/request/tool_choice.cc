#include <algorithm>

#include "server/api/request/tools.h"

namespace saccade::api {
namespace {

using Choice = ToolOptions::Choice;

constexpr size_t kMaxShownName = 64;

// The member `name` of `object`, which must be an object or a list there.
const Json* expect(Fields& fields, const Fields& object, const char* name, bool list) {
  const Json* value = object.find(name);
  if (value != nullptr && (list ? value->is_array() : value->is_object())) return value;
  const std::string path = object.path(name);
  fields.fail(path, path + " must be an " + (list ? "array" : "object"));
  return nullptr;
}

bool keeps(const ToolDefinition& tool, const Json& names) {
  return std::find(names.begin(), names.end(), tool.name) != names.end();
}

// Leaves the tool of that name alone.
void choose(Fields& fields, const Fields& choice, ToolOptions& options) {
  const std::string path = choice.path("name");
  const Json* name = choice.find("name");
  if (name == nullptr || !name->is_string()) return fields.fail(path, path + " must be a string");
  std::erase_if(options.tools, [&](const ToolDefinition& tool) { return *name != tool.name; });
  if (options.tools.empty()) {
    return fields.fail(
        path, "there is no tool named '" + name->get<std::string>().substr(0, kMaxShownName) + "'");
  }
  options.choice = Choice::kNamed;
}

// {"mode": "auto" or "required", "tools": [{"type": "function", "name": ...}]}: the model sees all
// tools and may call these.
void allow(Fields& fields, const Fields& allowed, bool nested, ToolOptions& options) {
  const Json* mode = allowed.find("mode");
  if (mode == nullptr || (*mode != "auto" && *mode != "required")) {
    return fields.fail(allowed.path("mode"), allowed.path("mode") + " must be auto or required");
  }
  const Json* list = expect(fields, allowed, "tools", true);
  if (list == nullptr) return;
  const std::string list_path = allowed.path("tools");
  if (list->empty()) return fields.fail(list_path, list_path + " must not be empty");
  Json names = Json::array();
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = element_path(list_path, i);
    const Json& entry = (*list)[i];
    const bool wrapped = nested && entry.is_object() && entry.contains("function");
    const Json& tool = wrapped ? entry["function"] : entry;
    const Json name = tool.is_object() && tool.contains("name") ? tool["name"] : Json();
    const bool known = std::any_of(options.tools.begin(), options.tools.end(),
                                   [&](const ToolDefinition& one) { return name == one.name; });
    if (!known) return fields.fail(path, path + " must name one of the tools");
    names.push_back(name);
  }
  std::erase_if(options.tools, [&](const ToolDefinition& tool) { return !keeps(tool, names); });
  options.choice = *mode == "required" ? Choice::kRequired : Choice::kAuto;
}

// {"type": "auto", "any", "tool" or "none", "name", "disable_parallel_tool_use"}
void read_messages_choice(Fields& fields, const char* name, const Json& value,
                          ToolOptions& options) {
  if (!value.is_object()) {
    return fields.fail(name, std::string(name) + " must be an object with a type");
  }
  Fields choice(value, name);
  bool alone = false;
  choice.read("disable_parallel_tool_use", alone);
  fields.fail(choice.status());
  options.parallel = !alone;
  const Json* type = choice.find("type");
  if (type == nullptr || !type->is_string()) {
    fields.fail(choice.path("type"), choice.path("type") + " is missing");
  } else if (*type == "none") {
    options.choice = Choice::kNone;
  } else if (*type == "any") {
    options.choice = Choice::kRequired;
  } else if (*type == "tool") {
    choose(fields, choice, options);
  } else if (*type != "auto") {
    fields.fail(choice.path("type"), choice.path("type") + " must be auto, any, tool or none");
  }
}

// An object: a function by its name, or those that are allowed.
void read_object_choice(Fields& fields, const Fields& choice, ToolForm form, ToolOptions& options) {
  if (options.functions) return choose(fields, choice, options);
  const bool nested = form == ToolForm::kChat;
  const Json* type = choice.find("type");
  if (type != nullptr && *type == "allowed_tools") {
    if (!nested) return allow(fields, choice, false, options);
    const Json* allowed = expect(fields, choice, "allowed_tools", false);
    if (allowed != nullptr) {
      allow(fields, Fields(*allowed, choice.path("allowed_tools")), true, options);
    }
    return;
  }
  if (type == nullptr || *type != "function") {
    return fields.fail(choice.path("type"), choice.path("type") + " must be function");
  }
  if (!nested) return choose(fields, choice, options);
  const Json* function = expect(fields, choice, "function", false);
  if (function != nullptr) choose(fields, Fields(*function, choice.path("function")), options);
}

}  // namespace

void read_tool_choice(Fields& fields, const char* name, const Json& value, ToolForm form,
                      ToolOptions& options) {
  if (form == ToolForm::kMessages) return read_messages_choice(fields, name, value, options);
  if (value == "none") {
    options.choice = Choice::kNone;
  } else if (value == "auto") {
    options.choice = Choice::kAuto;
  } else if (value == "required" && !options.functions) {
    options.choice = Choice::kRequired;
  } else if (value.is_object()) {
    read_object_choice(fields, Fields(value, name), form, options);
  } else {
    fields.fail(name, std::string(name) + (options.functions
                                               ? " must be none, auto or an object with a name"
                                               : " must be none, auto, required or a function"));
  }
}

}  // namespace saccade::api
