#include "server/output/answer/tool_call_parser.h"

#include <algorithm>
#include <array>

#include "server/output/answer/tool_call_styles.h"

namespace saccade {
namespace {

struct StyleName {
  std::string_view name;
  ToolStyle style;
  std::string_view marker;
};
constexpr std::array<StyleName, 7> kStyles = {{
    {"hermes", ToolStyle::kHermes, "<tool_call>"},
    {"mistral", ToolStyle::kMistral, "[TOOL_CALLS]"},
    {"mistral_args", ToolStyle::kMistralArgs, "[TOOL_CALLS]"},
    {"llama3_json", ToolStyle::kLlama3, ""},
    {"json", ToolStyle::kJson, ""},
    {"pythonic", ToolStyle::kPythonic, ""},
    {"react", ToolStyle::kReact, "Action:"},
}};

const StyleName& row(ToolStyle style) {
  return *std::find_if(kStyles.begin(), kStyles.end(),
                       [style](const StyleName& row) { return row.style == style; });
}

}  // namespace

std::optional<ToolStyle> tool_style(std::string_view name) {
  for (const StyleName& row : kStyles) {
    if (row.name == name) return row.style;
  }
  return std::nullopt;
}

std::string_view tool_style_name(ToolStyle style) { return row(style).name; }
std::string_view call_marker(ToolStyle style) { return row(style).marker; }

const std::vector<std::string>& tool_style_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const StyleName& row : kStyles) list.emplace_back(row.name);
    return list;
  }();
  return names;
}

ToolStyle detect_tool_style(std::string_view chat_template) {
  const auto has = [&](std::string_view text) {
    return chat_template.find(text) != std::string_view::npos;
  };
  if (has("<tool_call>")) return ToolStyle::kHermes;
  if (has("[TOOL_CALLS]")) return has("[ARGS]") ? ToolStyle::kMistralArgs : ToolStyle::kMistral;
  if (has("Action Input")) return ToolStyle::kReact;
  if (has("func_name1(")) return ToolStyle::kPythonic;
  if (has("ipython") || has("<|python_tag|>")) return ToolStyle::kLlama3;
  return ToolStyle::kHermes;
}

void ToolCallParser::content(std::string text, AnswerPieces& out) {
  if (!text.empty()) out.push_back({AnswerPiece::Kind::kContent, std::move(text), 0});
}

void ToolCallParser::begin_call(std::string name, AnswerPieces& out) {
  out.push_back({AnswerPiece::Kind::kCall, std::move(name), calls_++});
}

void ToolCallParser::arguments(std::string text, AnswerPieces& out) const {
  if (!text.empty()) out.push_back({AnswerPiece::Kind::kArguments, std::move(text), calls_ - 1});
}

std::unique_ptr<ToolCallParser> make_tool_call_parser(ToolStyle style,
                                                      std::vector<std::string> names) {
  switch (style) {
    case ToolStyle::kHermes:
    case ToolStyle::kMistral:
    case ToolStyle::kMistralArgs:
      return make_marked_call_parser(style);
    case ToolStyle::kPythonic:
      return make_pythonic_call_parser(std::move(names));
    case ToolStyle::kReact:
      return make_react_call_parser();
    default:
      return make_bare_call_parser(std::move(names));
  }
}

}  // namespace saccade
