#include "server/api/answer/answer_plan.h"

#include <algorithm>

#include "server/api/answer/prepare.h"
#include "server/output/marker_tokens.h"
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
void allow_reasoning(const AnswerSyntax& syntax, GrammarSpec& format) {
  if (!syntax.reasoning || syntax.reasoning->start.empty() || syntax.reasoning->end.empty()) return;
  const ReasoningStyle& style = *syntax.reasoning;
  format.reasoning = GrammarSpec::Reasoning{style.start, style.end, syntax.begins_inside};
}

// A format that cannot be had is told before a picture is decoded.
Status check_format(Service& service, const std::optional<GrammarSpec>& format) {
  return format ? service.grammars.compile(*format).status() : Status();
}

// What the calls of an answer must match.
std::optional<GrammarSpec> format_of_calls(Service& service, const ToolOptions& tools,
                                           StartedAnswer& plan) {
  const ToolStyle style = *plan.syntax.tools;
  auto calls = tool_grammar(tools, style);
  if (!calls || tools.forced() || !tools.strict_by_default()) return calls;
  allow_reasoning(plan.syntax, *calls);
  plan.loosened = !service.grammars.compile(*calls).ok();
  return plan.loosened ? tool_grammar(tools.loosened(), style) : calls;
}

// How the answer to `prompt` is to be read. Sets what has to be known of it in `options`.
Result<StartedAnswer> plan_answer(Service& service, const ToolOptions& tools,
                                  std::optional<GrammarSpec> format, const PreparedPrompt& prompt,
                                  GenerationOptions& options) {
  const Tokenizer& tokenizer = *service.tokenizer;
  const ToolStyle style = service.options.tool_style;
  StartedAnswer plan;
  AnswerSyntax& syntax = plan.syntax;
  syntax.reasoning = service.options.reasoning;
  std::vector<std::string> markers;
  if (syntax.reasoning) {
    syntax.begins_inside = ends_with_marker(tokenizer, prompt, syntax.reasoning->start);
    markers = {syntax.reasoning->start, syntax.reasoning->end};
  }
  if (tools.active()) {
    syntax.tools = style;
    syntax.tool_names = tools.names();
    for (const char* other : {"</tool_call>", "[ARGS]", "<|python_tag|>"}) markers.push_back(other);
    markers.emplace_back(call_marker(style));
    if (style == ToolStyle::kReact) options.stop.push_back(kObservation);
    if (tools.forced() || !format) {
      if (const auto calls = format_of_calls(service, tools, plan)) format = calls;
    }
  }
  std::vector<MarkerTokens::Marker> tokens;
  for (const std::string& marker : markers) {
    const auto id = special_token(tokenizer, marker);
    if (!id) continue;
    options.shown_tokens.push_back(*id);
    tokens.emplace_back(*id, marker);
  }
  if (!format) return plan;
  allow_reasoning(syntax, *format);
  const auto grammar = service.grammars.compile(*format);
  if (!grammar) return grammar.status();
  options.constraint = [grammar = *grammar, tokens, credit = std::make_shared<GrammarCredit>()] {
    return std::make_shared<MarkerTokens>(tokens, grammar->start(credit));
  };
  options.constraint_field = format->param;
  return plan;
}

}  // namespace

void show_tools(const Service& service, const ToolOptions& tools, Conversation& conversation) {
  if (tools.active()) conversation.tools = tools.listed;
  if (!service.prompts.shows_tools(tools.active())) {
    write_tools_as_text(conversation, tool_style_name(service.options.tool_style));
  }
}

Result<StartedAnswer> start_answer(Call& call, Conversation& conversation, const ToolOptions& tools,
                                   const std::optional<GrammarSpec>& format,
                                   GenerationOptions options) {
  Service& service = call.service;
  if (const Status status = check_format(service, format); !status.ok()) return status;
  show_tools(service, tools, conversation);
  Result<PreparedPrompt> prompt =
      prepare_chat(service, conversation, options, call.admission.get());
  if (!prompt) return prompt.status();
  Result<StartedAnswer> answer = plan_answer(service, tools, format, *prompt, options);
  if (!answer) return answer.status();
  std::vector<PreparedPrompt> prompts;
  prompts.push_back(*std::move(prompt));
  auto generation = Generation::start(service, call.admission, std::move(prompts), options);
  if (!generation) return generation.status();
  answer->generation = *std::move(generation);
  return answer;
}

}  // namespace saccade::api
