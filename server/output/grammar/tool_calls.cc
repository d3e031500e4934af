#include "server/output/grammar/tool_calls.h"

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

ExprPtr arguments(Grammar& grammar, const Json& tool) {
  const Json& parameters = tool.at("parameters");
  if (parameters.is_null()) return JsonText(grammar).object(literal(""));
  try {
    Json schema = parameters;
    if (!schema.contains("type") && !schema.contains("$ref")) schema["type"] = "object";
    return schema_value(grammar, schema);
  } catch (const GrammarError& error) {
    const std::string path = tool.at("path").get<std::string>();
    throw GrammarError{error.path.empty() ? path : path + "." + error.path, error.message};
  }
}

// {"name": "get", "arguments": {...}}, the arguments under `key`.
ExprPtr call_object(Grammar& grammar, const Json& tool, const char* key) {
  JsonText json(grammar);
  return json.object(
      sequence({json.member(literal("\"name\""), literal(tool.at("name").dump())), json.comma(),
                json.member(literal("\"" + std::string(key) + "\""), arguments(grammar, tool))}));
}

ExprPtr one_call(Grammar& grammar, ToolStyle style, const Json& tool) {
  switch (style) {
    case ToolStyle::kReact:
      return sequence(
          {literal("Action: " + tool.at("name").get<std::string>() + "\nAction Input: "),
           arguments(grammar, tool)});
    case ToolStyle::kLlama3:
      return call_object(grammar, tool, "parameters");
    default:
      return call_object(grammar, tool, "arguments");
  }
}

struct Frame {
  const char* begin;  // before all calls, behind the marker
  const char* separator;
  const char* end;
  bool each_has_marker;
};

Frame frame_of(ToolStyle style) {
  switch (style) {
    case ToolStyle::kHermes:
      return {"", "\n", "", true};
    case ToolStyle::kMistral:
      return {"[", ", ", "]", false};
    case ToolStyle::kLlama3:
      return {"", "; ", "", false};
    default:
      return {"[", ", ", "]", false};  // kJson; kPythonic reads such objects, too
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
  if (style == ToolStyle::kPythonic) style = ToolStyle::kJson;
  std::vector<ExprPtr> names;
  for (const Json& tool : description.at("tools")) names.push_back(one_call(grammar, style, tool));
  const ExprPtr any = choice(std::move(names));
  if (style == ToolStyle::kReact) return any;  // one at a time: the observation comes in between

  const Frame frame = frame_of(style);
  const std::string marker(call_marker(style));
  const ExprPtr space = JsonText(grammar).space();
  ExprPtr body = any;
  if (frame.each_has_marker) body = sequence({space, any, space, literal("</tool_call>")});
  const ExprPtr further =
      sequence({literal(frame.separator), literal(frame.each_has_marker ? marker : ""), body});
  const bool parallel = description.at("parallel").get<bool>();
  const ExprPtr calls =
      sequence({literal(frame.begin), body, repeat(further, 0, parallel ? kUnbounded : 0),
                literal(frame.end)});
  if (!description.at("among_text").get<bool>()) {
    return sequence({literal(description.at("marker").get<bool>() ? marker : ""), calls});
  }
  const ExprPtr among = sequence({text_until(grammar, marker), calls});
  const ExprPtr tail = text_without(grammar, marker);
  if (!parallel) return sequence({optional(among), tail});
  return sequence({repeat(among, 0, kUnbounded), tail});
}

}  // namespace saccade::grammar
