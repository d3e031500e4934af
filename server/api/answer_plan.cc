#include "server/api/answer_plan.h"

#include <algorithm>

#include "server/output/forced_start.h"
#include "server/prompt/tool_prompt.h"

namespace saccade::api {
namespace {

constexpr const char* kObservation = "Observation:";

// The token that a marker is, where the detokenizer would leave it out.
std::optional<TokenId> special_token(const Tokenizer& tokenizer, const std::string& marker) {
  const auto id = marker.empty() ? std::nullopt : tokenizer.token_id(marker);
  return id && tokenizer.is_special(*id) ? id : std::nullopt;
}

// Whether the prompt ends with the marker that begins the reasoning.
bool ends_with_marker(const Tokenizer& tokenizer, const PreparedPrompt& prompt,
                      const std::string& marker) {
  constexpr size_t kEnough = 16;
  const size_t first = prompt.ids.size() - std::min(kEnough, prompt.ids.size());
  std::string text = tokenizer.decode(std::span(prompt.ids).subspan(first), false);
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return !marker.empty() && text.ends_with(marker);
}

// Where the answer has a format, reasoning may come before it.
Status allow_reasoning(const Service& service, const AnswerSyntax& syntax, GrammarSpec& format) {
  if (!syntax.reasoning || syntax.reasoning->start.empty() || syntax.reasoning->end.empty())
    return {};
  const ReasoningStyle& style = *syntax.reasoning;
  if (special_token(*service.tokenizer, style.end)) {
    if (!syntax.begins_inside) return {};  // it answers at once
    return invalid_argument(format.param +
                                ": the prompt has begun the model's reasoning, whose end "
                                "is a special token",
                            format.param);
  }
  format.reasoning = GrammarSpec::Reasoning{style.start, style.end, syntax.begins_inside};
  return {};
}

}  // namespace

void show_tools(const Service& service, ChatRequest& chat) {
  if (chat.tools.active()) chat.conversation.tools = chat.tools.listed;
  if (!service.prompts.shows_tools()) {
    write_tools_as_text(chat.conversation, tool_style_name(service.options.tool_style));
  }
}

Result<AnswerSyntax> plan_answer(Service& service, ChatRequest& chat,
                                 const PreparedPrompt& prompt) {
  const Tokenizer& tokenizer = *service.tokenizer;
  const ToolStyle style = service.options.tool_style;
  GenerationOptions& options = chat.options;
  AnswerSyntax syntax;
  syntax.reasoning = service.options.reasoning;
  std::vector<std::string> markers;
  if (syntax.reasoning) {
    syntax.begins_inside = ends_with_marker(tokenizer, prompt, syntax.reasoning->start);
    markers = {syntax.reasoning->start, syntax.reasoning->end};
  }
  std::optional<GrammarSpec> format = chat.format;
  std::optional<TokenId> forced;
  if (chat.tools.active()) {
    syntax.tools = style;
    syntax.tool_names = chat.tools.names();
    const std::string marker(call_marker(style));
    for (const char* other : {"</tool_call>", "[ARGS]", "<|python_tag|>"}) markers.push_back(other);
    markers.push_back(marker);
    if (style == ToolStyle::kReact) options.stop.push_back(kObservation);
    forced = special_token(tokenizer, marker);
    const auto calls = tool_grammar(chat.tools, style, forced.has_value());
    if (calls && (chat.tools.forced() || !format)) format = calls;
  }
  for (const std::string& marker : markers) {
    if (const auto id = special_token(tokenizer, marker)) options.shown_tokens.push_back(*id);
  }
  if (!format) return syntax;
  if (const Status status = allow_reasoning(service, syntax, *format); !status.ok()) return status;
  if (const Status status = constrain(service.grammars, format, options); !status.ok())
    return status;
  if (forced && chat.tools.forced()) {
    options.constraint = [inner = options.constraint, id = *forced] {
      return std::make_shared<ForcedStart>(id, inner());
    };
  }
  return syntax;
}

}  // namespace saccade::api
