// Small languages: templates, schemas, patterns, grammars, and what models write.
#include <nlohmann/json.hpp>

#include "server/output/answer/answer_parser.h"
#include "server/output/grammar/compiler.h"
#include "server/prompt/template/chat_template.h"
#include "tests/fuzz/target.h"

namespace saccade::fuzz {
namespace {

using Json = nlohmann::ordered_json;

void render(const std::string& input) {
  const auto parsed = ChatTemplate::parse(input);
  if (!parsed) return require(!parsed.status().message().empty(), "no reason");
  const Json messages = {
      {{"role", "user"}, {"content", "<s>hi"}},
      {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {{{"id", 1}}}}}};
  TemplateBudget budget;
  budget.max_steps = 20'000;
  budget.max_output_bytes = 1 << 20;
  const auto text = parsed->render({{"messages", TemplateValue::from_json(messages, true)},
                                    {"bos_token", TemplateValue::string("<s>", false)},
                                    {"add_generation_prompt", TemplateValue::boolean(true)}},
                                   budget);
  if (!text) return;
  size_t bytes = 0;
  for (const TextSegment& segment : *text) bytes += segment.text.size();
  require(bytes <= budget.max_output_bytes, "more than the budget");
}

GrammarCompiler& compiler() {
  static const std::shared_ptr<const Tokenizer> tokenizer =
      Tokenizer::load("tests/golden/llama_bias");
  static GrammarCompiler made(tokenizer, tokenizer->vocab_size(), {319});
  return made;
}

// Follows it for some tokens, the allowed ones in turn.
void follow(GrammarSpec::Kind kind, const std::string& text) {
  const auto grammar = compiler().compile({kind, text, "field"});
  if (!grammar) return require(!grammar.status().message().empty(), "no reason");
  const auto matcher = (*grammar)->start(std::make_shared<GrammarCredit>());
  try {
    for (size_t step = 0; step < 12; ++step) {
      std::vector<uint32_t> mask(10, ~0u);
      matcher->fill_mask(mask.data(), 320);
      std::vector<TokenId> allowed;
      for (TokenId id = 0; id < 320; ++id) {
        if (mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1) allowed.push_back(id);
      }
      require(!allowed.empty(), "nothing is allowed");
      const TokenId next = allowed[(step * 31 + text.size()) % allowed.size()];
      require(matcher->accept(next), "what the mask allows is refused");
      if (next == 319) return;
    }
  } catch (const ConstraintError&) {
  }
}

void compile_schema(const std::string& input) {
  const Json schema = Json::parse(input, nullptr, false);
  if (!schema.is_object() && !schema.is_boolean()) return;  // read_structured_output sees to it
  follow(GrammarSpec::Kind::kJsonSchema,
         schema.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// In one piece and byte by byte.
void read_answer(const std::string& input) {
  for (const std::string& name : tool_style_names()) {
    AnswerSyntax syntax;
    syntax.reasoning = reasoning_style("think");
    syntax.tools = tool_style(name);
    syntax.tool_names = {"f", "get_weather"};
    AnswerParser whole(syntax), pieces(syntax);
    (void)whole.push(input);
    const bool cut = input.size() % 2 == 1;
    (void)whole.finish(cut);
    for (const char c : input) (void)pieces.push(std::string_view(&c, 1));
    (void)pieces.finish(cut);
    require(whole.calls() <= static_cast<int>(input.size()), "more calls than bytes");
  }
}

const std::vector<std::string> kTemplateWords = {"{% for m in messages %}",
                                                 "{% endfor %}",
                                                 "{{ ",
                                                 " }}",
                                                 "{% if ",
                                                 " %}",
                                                 "{% set x = ",
                                                 "loop.index",
                                                 "| tojson",
                                                 "| join(",
                                                 "range(10**9)",
                                                 "'%s' % 1",
                                                 "namespace(a=1)",
                                                 "{% macro f(a) %}",
                                                 "{% endmacro %}",
                                                 "{#",
                                                 "#}",
                                                 "{%-",
                                                 "-%}",
                                                 "raise_exception(",
                                                 "~",
                                                 "**",
                                                 "//",
                                                 "[::-1]",
                                                 "is defined",
                                                 ".items()",
                                                 "{% generation %}",
                                                 "'\\ud800'",
                                                 "[0][0]",
                                                 "not in",
                                                 ".split(",
                                                 "strftime_now('%Y')"};

}  // namespace

std::vector<Target> text_targets() {
  const std::string golden = "tests/golden/";
  const std::string schema =
      R"({"type":"object","properties":{"a":{"type":"string","maxLength":3},"b":{"$ref":"#/$defs/x"}},
          "required":["a"],"additionalProperties":false,"$defs":{"x":{"anyOf":[{"type":"integer",
          "minimum":-3,"multipleOf":2},{"type":"array","items":{"$ref":"#/$defs/x"},"minItems":1}]}}})";
  return {
      {"template",
       {read_seed(golden + "qwen2_vl/chat_template.jinja"),
        read_seed("models/saccade-eyes/chat_template.jinja"),
        "{% for m in messages %}{{ m.role | upper ~ m['content'] | trim }}{% if not loop.last "
        "%},{% endif %}"
        "{% endfor %}"},
       kTemplateWords,
       render},
      {"schema",
       {schema, R"({"enum":["a",1,null,[true]]})", R"({"type":"string","format":"date-time"})"},
       {"\"$ref\":\"#\"", "\"allOf\":[", "\"minLength\":1000000000", "\"maxItems\":-1",
        "\"pattern\":\"^(a|b)+$\"", "\"multipleOf\":1e-300", "\"minimum\":1e308", "\"oneOf\":[{}]",
        "null", "true", "{}", "[]", "\"type\":", "\"prefixItems\":[{}]",
        "\"const\":", "9007199254740993"},
       compile_schema},
      {"pattern",
       {"^[a-z]{2,5}(foo|ba?r)*\\d+$", "(?:\\u{1F600}|[^\\s\"])+?", "\\p{L}.{0,100}x"},
       {"{0,100000}", "(", ")", "[", "]", "[^", "|", "*", "+?", "\\", "(?=", "(?<n>", "\\b", "\\x",
        "\\u", "{,", "(.{0,99}){0,99}"},
       [](const std::string& input) { follow(GrammarSpec::Kind::kRegex, input); }},
      {"grammar",
       {"root ::= \"a\" (item \",\")* item?\nitem ::= [a-z0-9]+ | \"\\\"\" [^\"]{1,4} \"\\\"\"\n"},
       {"::=", "root", "\"", "[", "]", "{1,", "}", "|", "(", ")", "*", "\\x", "\\u", "#", "\n",
        "x ::= x\n"},
       [](const std::string& input) { follow(GrammarSpec::Kind::kGrammar, input); }},
      {"answer",
       {"<think>a</think>b<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, "
        "\"x\\\"\"]}}\n</tool_call>c",
        "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]",
        "[f(a=\"x\", b=[1, None]), get_weather()]",
        "Thought: x\nAction: f\nAction Input: {\"a\": 1}\nObservation:",
        "[TOOL_CALLS]f[ARGS]{\"a\":1}",
        "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"get_weather\", \"parameters\": {}}"},
       {"<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>",
        "Action:", "Action Input:", "{\"name\": ", "\"arguments\": ", "\\u12", "]", "}", "(", ")",
        ", ", "<think>", "</think>", "f("},
       read_answer},
  };
}

}  // namespace saccade::fuzz
