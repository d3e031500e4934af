#include "server/output/grammar/source.h"

#include <nlohmann/json.hpp>

#include "server/output/grammar/ebnf.h"
#include "server/output/grammar/json_text.h"
#include "server/output/grammar/regex.h"
#include "server/output/grammar/schema.h"
#include "server/output/grammar/tool_calls.h"

namespace saccade::grammar {
namespace {

ExprPtr build(const GrammarSpec& spec, Grammar& grammar) {
  switch (spec.kind) {
    case GrammarSpec::Kind::kJsonSchema:
      return schema_value(grammar, nlohmann::ordered_json::parse(spec.text));
    case GrammarSpec::Kind::kRegex:
      return regex(spec.text, TextContext::kPlain);
    case GrammarSpec::Kind::kGrammar:
      return ebnf(grammar, spec.text);
    case GrammarSpec::Kind::kChoice: {
      std::vector<ExprPtr> options;
      for (const auto& text : nlohmann::ordered_json::parse(spec.text)) {
        options.push_back(literal(text.get<std::string>()));
      }
      return choice(std::move(options));
    }
    case GrammarSpec::Kind::kToolCalls:
      return tool_calls(grammar, nlohmann::ordered_json::parse(spec.text));
    case GrammarSpec::Kind::kJsonObject:
      break;
  }
  return JsonText(grammar).any_object();
}

// The answer itself, or reasoning and then the answer.
ExprPtr with_reasoning(const std::optional<GrammarSpec::Reasoning>& reasoning, ExprPtr answer,
                       Grammar& grammar) {
  if (!reasoning) return answer;
  const ExprPtr space = JsonText(grammar).space();
  ExprPtr reasoned = sequence({text_until(grammar, reasoning->end), space, answer});
  if (reasoning->open) return reasoned;
  return choice({sequence({space, literal(reasoning->start), std::move(reasoned)}), answer});
}

std::string where(const GrammarSpec& spec, const std::string& path) {
  if (path.empty()) return spec.param;
  return spec.kind == GrammarSpec::Kind::kToolCalls ? path : spec.param + "." + path;
}

}  // namespace

Result<Program> program_of(const GrammarSpec& spec) {
  std::string param = spec.param, message;
  try {
    Grammar grammar;
    grammar.set_root(with_reasoning(spec.reasoning, build(spec, grammar), grammar));
    Result<Program> program = compile(grammar);
    if (program) return program;
    message = program.status().message();
  } catch (const GrammarError& error) {
    param = where(spec, error.path);
    message = error.message;
  }
  return invalid_argument(param + ": " + message, param);
}

}  // namespace saccade::grammar
