#include "server/output/grammar/tool_calls.h"

#include <algorithm>
#include <set>

#include "server/output/answer/tool_call_parser.h"
#include "server/output/grammar/json_text.h"
#include "server/output/grammar/schema.h"

namespace saccade::grammar {
namespace {

using Json = nlohmann::ordered_json;

// How much of `marker` the text ends with, once `c` follows its first `matched` characters (the
// automaton of Knuth, Morris and Pratt).
size_t matched_after(std::string_view marker, size_t matched, char c) {
  std::string text(marker.substr(0, matched));
  text += c;
  size_t length = std::min(text.size(), marker.size());
  while (!text.ends_with(marker.substr(0, length))) --length;
  return length;
}

// One rule for each beginning of the marker that the text may end with.
ExprPtr scan(Grammar& grammar, std::string_view marker, bool until) {
  std::vector<int> states;
  for (size_t i = 0; i < marker.size(); ++i) states.push_back(grammar.add_rule());
  const std::set<char> letters(marker.begin(), marker.end());
  CharSet known;
  for (const char c : letters)
    known.push_back({static_cast<char32_t>(c), static_cast<char32_t>(c)});
  for (size_t i = 0; i < marker.size(); ++i) {
    std::vector<ExprPtr> options = {sequence({chars(complement(known)), rule(states[0])})};
    for (const char c : letters) {
      const size_t next = matched_after(marker, i, c);
      if (next < marker.size()) {
        options.push_back(sequence({literal(std::string(1, c)), rule(states[next])}));
      } else if (until) {
        options.push_back(literal(std::string(1, c)));
      }
    }
    if (!until) options.push_back(literal(""));
    grammar.define(states[i], choice(std::move(options)));
  }
  return rule(states[0]);
}

Json schema_of(const Json& tool) {
  Json schema = tool.at("parameters");
  if (!schema.contains("type") && !schema.contains("$ref")) schema["type"] = "object";
  return schema;
}

// Runs `make`, the tool's path in front of a mistake's.
template <typename Make>
ExprPtr at_tool(const Json& tool, Make make) {
  try {
    return make();
  } catch (const GrammarError& error) {
    const std::string path = tool.at("path").get<std::string>();
    throw GrammarError{error.path.empty() ? path : path + "." + error.path, error.message};
  }
}

ExprPtr arguments(Grammar& grammar, const Json& tool) {
  if (tool.at("parameters").is_null()) return JsonText(grammar).object(literal(""));
  return at_tool(tool, [&] { return schema_value(grammar, schema_of(tool)); });
}

// {"name": "get", "arguments": {...}}, the arguments under `key`.
ExprPtr call_object(Grammar& grammar, const Json& tool, const char* key) {
  JsonText json(grammar);
  return json.object(
      sequence({json.member(literal("\"name\""), literal(tool.at("name").dump())), json.comma(),
                json.member(literal("\"" + std::string(key) + "\""), arguments(grammar, tool))}));
}

// get(a=1, b="x"); null where the schema has no such form.
ExprPtr python_call(Grammar& grammar, const Json& tool) {
  ExprPtr keywords = literal("");
  if (!tool.at("parameters").is_null()) {
    keywords = at_tool(tool, [&] { return schema_keywords(grammar, schema_of(tool)); });
  }
  if (!keywords) return nullptr;
  return sequence({literal(tool.at("name").get<std::string>() + "("), keywords, literal(")")});
}

ExprPtr one_call(Grammar& grammar, ToolStyle style, const Json& tool) {
  const std::string name = tool.at("name").get<std::string>();
  switch (style) {
    case ToolStyle::kReact:
      return sequence({literal("Action: " + name + "\nAction Input: "), arguments(grammar, tool)});
    case ToolStyle::kMistralArgs:
      return sequence({literal(name + "[ARGS]"), arguments(grammar, tool)});
    case ToolStyle::kLlama3:
      return call_object(grammar, tool, "parameters");
    case ToolStyle::kPythonic:
      return python_call(grammar, tool);
    default:
      return call_object(grammar, tool, "arguments");
  }
}

// One call of any tool. `style` becomes kJson, which its parser reads as well, where some tool
// cannot be called as Python does.
ExprPtr any_call(Grammar& grammar, const Json& tools, ToolStyle& style) {
  std::vector<ExprPtr> calls;
  for (const Json& tool : tools) calls.push_back(one_call(grammar, style, tool));
  if (std::find(calls.begin(), calls.end(), nullptr) == calls.end()) {
    return choice(std::move(calls));
  }
  style = ToolStyle::kJson;
  return any_call(grammar, tools, style);
}

struct Frame {
  const char* begin;  // before all calls, behind the marker
  const char* separator;
  const char* end;
  bool each_has_marker;
  const char* call_end = "";  // behind each call
};

Frame frame_of(ToolStyle style) {
  switch (style) {
    case ToolStyle::kHermes:
      return {"", "\n", "", true, "</tool_call>"};
    case ToolStyle::kMistralArgs:
      return {"", "", "", true};
    case ToolStyle::kLlama3:
      return {"", "; ", "", false};
    default:
      return {"[", ", ", "]", false};
  }
}

}  // namespace

ExprPtr text_until(Grammar& grammar, std::string_view marker) {
  return scan(grammar, marker, true);
}
ExprPtr text_without(Grammar& grammar, std::string_view marker) {
  return scan(grammar, marker, false);
}

ExprPtr tool_calls(Grammar& grammar, const Json& description) {
  ToolStyle style =
      tool_style(description.at("style").get<std::string>()).value_or(ToolStyle::kJson);
  const ExprPtr any = any_call(grammar, description.at("tools"), style);
  if (style == ToolStyle::kReact) return any;  // one at a time: the observation comes in between

  const Frame frame = frame_of(style);
  const std::string marker(call_marker(style));
  ExprPtr body = any;
  if (*frame.call_end != '\0') {
    const ExprPtr space = JsonText(grammar).space();
    body = sequence({space, any, space, literal(frame.call_end)});
  }
  const ExprPtr further =
      sequence({literal(frame.separator), literal(frame.each_has_marker ? marker : ""), body});
  const bool parallel = description.at("parallel").get<bool>();
  const ExprPtr calls =
      sequence({literal(frame.begin), body, repeat(further, 0, parallel ? kUnbounded : 0),
                literal(frame.end)});
  if (!description.at("among_text").get<bool>()) return sequence({literal(marker), calls});
  const ExprPtr among = sequence({text_until(grammar, marker), calls});
  const ExprPtr tail = text_without(grammar, marker);
  if (!parallel) return choice({among, tail});  // the answer ends with the call
  return sequence({repeat(among, 0, kUnbounded), tail});
}

}  // namespace saccade::grammar
