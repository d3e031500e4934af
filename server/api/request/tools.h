#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/api/fields/fields.h"
#include "server/api/request/generation_options.h"
#include "server/output/answer/tool_call_parser.h"
#include "server/output/grammar/compiler.h"

namespace saccade::api {

struct ToolDefinition {
  std::string name;
  Json parameters;   // a JSON Schema, or null: none
  std::string path;  // of the parameters in the request
  bool strict = false;
  bool by_default = false;  // strict, because the request does not say
};

// How a route writes its tools.
enum class ToolForm {
  kChat,       // {"type": "function", "function": {"name", "parameters", ...}}
  kResponses,  // {"type": "function", "name", "parameters", ...}, strict unless it says false
  kMessages,   // Anthropic's: {"name", "input_schema", ...}
};

// `tools`, `tool_choice` and `parallel_tool_calls`, or the older `functions` and `function_call`.
struct ToolOptions {
  enum class Choice {
    kNone,      // no calls: the model does not see the tools
    kAuto,      // as the model likes
    kRequired,  // one of them
    kNamed,     // the one left in `tools`
  };
  Choice choice = Choice::kNone;
  std::vector<ToolDefinition> tools;  // that may be called
  Json listed = Json::array();        // all of them, as a chat template sees them
  bool parallel = true;
  bool functions = false;  // asked for, and answered, in the older form

  bool active() const { return choice != Choice::kNone && !tools.empty(); }
  bool forced() const { return choice == Choice::kRequired || choice == Choice::kNamed; }
  std::vector<std::string> names() const;
  bool strict_by_default() const;
  // The same, but strict where the request says so alone.
  ToolOptions loosened() const;
};

// Mistakes are kept in `fields`, with paths as tools[3].function.parameters.
ToolOptions read_tools(Fields& fields, const FieldLimits& limits, ToolForm form = ToolForm::kChat);

// Leaves out of `options` what `choice`, the field `name`, does not let the model call.
void read_tool_choice(Fields& fields, const char* name, const Json& choice, ToolForm form,
                      ToolOptions& options);

// What an answer must match so that its calls are valid: from its beginning where a call is forced;
// inside of calls where a tool is strict and the style marks them. None: nothing.
std::optional<GrammarSpec> tool_grammar(const ToolOptions& options, ToolStyle style);

}  // namespace saccade::api
