// What grammars accept, by text; test_schemas.py judges what they let a model write.
#include <catch2/catch_test_macros.hpp>

#include "engine/core/constraint_error.h"
#include "server/output/grammar/compiler.h"
#include "server/output/marker_tokens.h"

namespace saccade {
namespace {

constexpr TokenId kEnd = 319, kLetter = 64;  // "a"

GrammarCompiler& compiler() {
  static const std::shared_ptr<const Tokenizer> tokenizer =
      Tokenizer::load("tests/golden/llama_bias");
  static GrammarCompiler shared(tokenizer, tokenizer->vocab_size(), {kEnd});
  return shared;
}

std::unique_ptr<GrammarMatcher> start(GrammarSpec::Kind kind, const std::string& text) {
  const auto grammar = compiler().compile({kind, text, "field"});
  REQUIRE(grammar.ok());
  return (*grammar)->start(std::make_shared<GrammarCredit>());
}

// In pieces of four bytes, each with the credit that a token brings.
bool matches(GrammarSpec::Kind kind, const std::string& text_of_grammar, const std::string& text) {
  const auto grammar = compiler().compile({kind, text_of_grammar, "field"});
  REQUIRE(grammar.ok());
  const auto credit = std::make_shared<GrammarCredit>();
  const auto matcher = (*grammar)->start(credit);
  for (size_t at = 0; at < text.size(); at += 4) {
    credit->earn();
    if (!matcher->accept_text(std::string_view(text).substr(at, 4))) return false;
  }
  return matcher->complete();
}

bool valid(const std::string& schema, const std::string& text) {
  return matches(GrammarSpec::Kind::kJsonSchema, schema, text);
}

std::vector<uint32_t> mask_of(GrammarMatcher& matcher) {
  std::vector<uint32_t> mask(10, ~0u);  // 320 ids
  matcher.fill_mask(mask.data(), 320);
  return mask;
}

bool allows(const std::vector<uint32_t>& mask, TokenId id) {
  return mask[id / 32] >> (id % 32) & 1;
}

}  // namespace

TEST_CASE("Schemas take the texts that writers write") {
  const std::string person =
      R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0},
          "tags":{"type":"array","items":{"type":"string","maxLength":3}}},"required":["name"]})";
  CHECK(valid(person, R"({"name":"Ada","age":36,"tags":["a","b"]})"));
  CHECK(valid(person, "{\n  \"name\": \"A\\\"d\\u00e4\",\n  \"tags\": []\n}"));
  CHECK(valid(person, R"({"name": "日本"})"));
  CHECK_FALSE(valid(person, R"({"age":36})"));
  CHECK_FALSE(valid(person, R"({"name":"Ada","age":-1})"));
  CHECK_FALSE(valid(person, R"({"name":"Ada","age":01})"));
  CHECK_FALSE(valid(person, R"({"name":"Ada","tags":["abcd"]})"));
  CHECK_FALSE(valid(person, R"({"name":"Ada","other":1})"));
  CHECK_FALSE(valid(person, "{\"name\":\"A\nda\"}"));
  CHECK_FALSE(valid(person, R"({"name":"\ud800"})"));
  CHECK_FALSE(valid(person, R"({"name":"Ada",})"));
}

TEST_CASE("Members beside the declared ones never repeat a declared name") {
  const std::string schema =
      R"({"type":"object","properties":{"id":{"type":"integer"}},"additionalProperties":{"type":"string"}})";
  CHECK(valid(schema, R"({"id":1,"idx":"x","i":"","ä":"y"})"));
  CHECK(valid(schema, R"({"other":"x"})"));
  CHECK_FALSE(valid(schema, R"({"other":"x","id":"no integer"})"));
  CHECK_FALSE(valid(schema, R"({"\u0069d":"an id in disguise"})"));
  CHECK(valid("{}", R"([1,{"a":null},"x",-0.5e+10,true])"));
  CHECK(valid(R"({"type":"object"})", R"({"any":{"thing":[]}})"));
}

TEST_CASE("Schemas that contain themselves, and parts that cannot end") {
  const std::string tree =
      R"({"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#"}}},"required":["kids"]})";
  CHECK(valid(tree, R"({"kids":[{"kids":[]},{"kids":[{"kids":[]}]}]})"));
  CHECK_FALSE(valid(tree, R"({"kids":[{}]})"));
  // The optional member can never be written to its end, so it is not begun.
  const std::string endless =
      R"({"properties":{"a":{"type":"null"},"b":{"$ref":"#/$defs/b"}},
          "$defs":{"b":{"type":"object","properties":{"b":{"$ref":"#/$defs/b"}},"required":["b"]}}})";
  CHECK(valid(endless, R"({"a":null})"));
  const auto matcher = start(GrammarSpec::Kind::kJsonSchema, endless);
  CHECK_FALSE(matcher->accept_text(R"({"b)"));
}

TEST_CASE("Compositions are joined") {
  const std::string joined =
      R"({"allOf":[{"$ref":"#/$defs/a"},{"properties":{"y":{"type":"boolean"}},"required":["y"]}],
          "$defs":{"a":{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}}})";
  CHECK(valid(joined, R"({"x":1,"y":true})"));
  CHECK_FALSE(valid(joined, R"({"x":1})"));
  const std::string tagged =
      R"({"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"n":{"type":"null"}},"required":["k","n"]},
          {"type":"object","properties":{"k":{"const":"b"}},"required":["k"]}]})";
  CHECK(valid(tagged, R"({"k":"b"})"));
  CHECK_FALSE(valid(tagged, R"({"k":"a"})"));
  const std::string nullable = R"({"anyOf":[{"type":"string"},{"type":"null"}],"maxLength":2})";
  CHECK(valid(nullable, "null"));
  CHECK(valid(nullable, R"("ab")"));
  CHECK_FALSE(valid(nullable, R"("abc")"));
}

TEST_CASE("Tuples of both drafts") {
  for (const char* schema :
       {R"({"prefixItems":[{"type":"integer"},{"type":"string"}],"items":false})",
        R"({"items":[{"type":"integer"},{"type":"string"}],"additionalItems":false})"}) {
    CHECK(valid(schema, R"([1,"a"])"));
    CHECK_FALSE(valid(schema, R"(["a",1])"));
    CHECK_FALSE(valid(schema, R"([1,"a",2])"));
  }
}

TEST_CASE("Code points become well-formed UTF-8 only") {
  const auto regex = GrammarSpec::Kind::kRegex;
  for (const char* text : {"a", "ä", "€", "\xf0\x9f\x98\x80", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"}) {
    CHECK(matches(regex, "^[^x]$", text));
  }
  for (const char* text :
       {"\xc0\x80", "\xed\xa0\x80", "\xe0\x80\x80", "\xf4\x90\x80\x80", "\x80", "\xc3"}) {
    CHECK_FALSE(matches(regex, "^[^x]$", text));
  }
}

TEST_CASE("Patterns and grammars of ill-formed UTF-8 are refused") {
  for (const std::string bad :
       {"\x80", "\xc3", "\xc3(", "\xe2\x82", "\xf0\x9f\x98", "\xc0\x80", "\xed\xa0\x80",
        "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xff"}) {
    for (const std::string& pattern :
         {bad, "a" + bad, "[" + bad + "]", "[a-" + bad + "]", "\\" + bad}) {
      CHECK_FALSE(compiler().compile({GrammarSpec::Kind::kRegex, pattern, "field"}).ok());
    }
    for (const std::string& rule : {"[" + bad + "]", "[a-" + bad + "]", "\"" + bad + "\""}) {
      CHECK_FALSE(
          compiler().compile({GrammarSpec::Kind::kGrammar, "root ::= " + rule, "field"}).ok());
    }
  }
}

TEST_CASE("Counters count") {
  const auto regex = GrammarSpec::Kind::kRegex;
  const auto times = [](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += "ab";
    return text;
  };
  CHECK_FALSE(matches(regex, "^(ab){3,5}$", times(2)));
  for (int count = 3; count <= 5; ++count) CHECK(matches(regex, "^(ab){3,5}$", times(count)));
  CHECK_FALSE(matches(regex, "^(ab){3,5}$", times(6)));
  CHECK(matches(regex, "^(ab){3,}$", times(5000)));  // and the states are forgotten on the way
  CHECK(matches(regex, "^((ab){2}){2500}$", times(5000)));
  CHECK_FALSE(matches(regex, "^((ab){2}){2500}$", times(4999)));
  CHECK(matches(regex, "^(a?b?){4}$", "abab"));
}

TEST_CASE("The end comes when the text is whole, and special tokens never") {
  const auto matcher = start(GrammarSpec::Kind::kRegex, "^ab?$");
  CHECK_FALSE(allows(mask_of(*matcher), kEnd));
  CHECK_FALSE(matcher->accept(kEnd));
  REQUIRE(matcher->accept_text("a"));
  CHECK(allows(mask_of(*matcher), kEnd));
  REQUIRE(matcher->accept_text("b"));
  const auto mask = mask_of(*matcher);
  for (TokenId id = 0; id < 320; ++id) CHECK(allows(mask, id) == (id == kEnd));
  CHECK_FALSE(matcher->accept_text("b"));
  CHECK(matcher->complete());  // what does not fit changes nothing
  CHECK(matcher->accept(kEnd));
  CHECK(matcher->accept(kEnd));  // ignore_eos
  CHECK_FALSE(matcher->accept(70));
}

TEST_CASE("A mask allows exactly the tokens that can be accepted") {
  const auto tokenizer = Tokenizer::load("tests/golden/llama_bias");
  const std::string schema =
      R"({"type":"object","properties":{"a":{"type":"string","maxLength":2}},"required":["a"]})";
  for (const char* begin :
       {"", "{", "{\"a\": \"", "{\"a\": \"x", "{\"a\":\"xy", "{\"a\":\"xy\"", "{\"a\":\"\\"}) {
    const auto matcher = start(GrammarSpec::Kind::kJsonSchema, schema);
    REQUIRE(matcher->accept_text(begin));
    const auto mask = mask_of(*matcher);
    for (TokenId id = 0; id < 319; ++id) {
      const auto other = start(GrammarSpec::Kind::kJsonSchema, schema);
      REQUIRE(other->accept_text(begin));
      CHECK(allows(mask, id) == other->accept(id));
    }
  }
}

TEST_CASE("Sources that are nested, or that multiply, are refused in time") {
  using Kind = GrammarSpec::Kind;
  const auto times = [](int count, const std::string& text) {
    std::string repeated;
    for (int i = 0; i < count; ++i) repeated += text;
    return repeated;
  };
  // Each schema is all of the next one, twice (the second of them told as one of two kinds).
  const auto doubled = [](const char* keyword) {
    std::string definitions;
    for (int i = 0; i < 60; ++i) {
      const std::string next = R"({"$ref":"#/$defs/)" + std::to_string(i + 1) + "\"}";
      definitions +=
          "\"" + std::to_string(i) + "\":{\"" + keyword + "\":[" + next + "," + next + "]},";
    }
    return R"({"$defs":{)" + definitions +
           R"("60":{"type":"object"}},"allOf":[{"$ref":"#/$defs/0"},{"type":"object"}]})";
  };
  const struct {
    Kind kind;
    std::string text;
    const char* param;
  } kRows[] = {
      {Kind::kRegex, "a" + times(60'000, "*"), "field"},
      {Kind::kRegex, "a" + times(12'000, "{0,1}"), "field"},
      {Kind::kRegex, times(20'000, "(") + "a" + times(20'000, ")"), "field"},
      {Kind::kGrammar, "root ::= \"a\"" + times(60'000, "*"), "field"},
      {Kind::kGrammar, "root ::= \"a\"" + times(60'000, "?"), "field"},
      {Kind::kJsonSchema, R"({"type":"object","required":[")" + times(60'000, "a") + "\"]}",
       "field.required"},
      {Kind::kJsonSchema, doubled("allOf"), "field.allOf"},
      {Kind::kJsonSchema, doubled("anyOf"), nullptr},
  };
  for (const auto& row : kRows) {
    CAPTURE(row.text.substr(0, 80));
    const auto grammar = compiler().compile({row.kind, row.text, "field"});
    REQUIRE_FALSE(grammar.ok());
    CHECK(grammar.status().code() == StatusCode::kInvalidArgument);
    if (row.param != nullptr) CHECK(grammar.status().param() == row.param);
  }
}

TEST_CASE("Long lists of members and items are followed to their ends") {
  std::string names, members, items, values;
  for (int i = 0; i < 3000; ++i) {
    const std::string comma = i > 0 ? "," : "", name = "\"m" + std::to_string(i) + "\"";
    names += comma + name;
    members += comma + name + ":1";
    items += comma + R"({"type":"null"})";
    values += comma + "null";
  }
  CHECK(valid(R"({"type":"object","required":[)" + names + "]}", "{" + members + "}"));
  const std::string tuple = R"({"type":"array","minItems":2,"prefixItems":[)" + items + "]}";
  for (const char* text : {"[null,null]", "[null,null,null]"}) CHECK(valid(tuple, text));
  CHECK(valid(tuple, "[" + values + "]"));
  CHECK_FALSE(valid(tuple, "[null]"));
}

TEST_CASE("What is too ambiguous to follow is the request's own fault") {
  const auto matcher = start(GrammarSpec::Kind::kRegex, "(.{0,100}){0,100}x");
  CHECK_THROWS_AS(matcher->accept_text(std::string(200, 'a')), ConstraintError);
}

TEST_CASE("A grammar costs the engine's thread no more than its credit, whoever wrote it") {
  for (const char* pattern : {"(.{0,100}){0,100}x", "((a?){30}b?){40}c", "(.*a){60}x",
                              "(.{0,900}.{0,900}.{0,900}){9}x"}) {
    const auto grammar = compiler().compile({GrammarSpec::Kind::kRegex, pattern, "field"});
    if (!grammar.ok()) continue;  // refused before it was queued
    const auto credit = std::make_shared<GrammarCredit>();
    std::vector<std::unique_ptr<GrammarMatcher>> choices;  // of one request
    for (int i = 0; i < 128; ++i) choices.push_back((*grammar)->start(credit));
    int tokens = 0;
    const auto follow = [&] {
      for (int i = 0; i < 20; ++i) {
        for (const auto& choice : choices) {
          ++tokens;
          if (!allows(mask_of(*choice), kLetter)) return;
          if (!choice->accept(kLetter)) return;
        }
      }
    };
    try {
      follow();
    } catch (const ConstraintError&) {
    }
    CHECK(credit->spent() <= GrammarCredit::kMost + tokens * GrammarCredit::kEachToken + 1);
  }
}

TEST_CASE("Grammars of all answers together cost a step no more than its budget, and all go on") {
  // As Scheduler does: who does not sit the step out makes a mask and moves on.
  struct Answer {
    std::shared_ptr<GrammarCredit> credit = std::make_shared<GrammarCredit>();
    std::unique_ptr<GrammarMatcher> matcher;
    int tokens = 0;
    bool failed = false;
  };
  std::vector<Answer> answers(48);
  for (size_t i = 0; i < answers.size(); ++i) {  // each has states of its own, or they would share
    const std::string pattern = i % 4 == 0 ? "[a-z ]*"
                                           : "(.{0,40}){0,5}[a-" + std::string(1, 'b' + i % 20) +
                                                 "]{" + std::to_string(i + 1) + "}x";
    const auto grammar = compiler().compile({GrammarSpec::Kind::kRegex, pattern, "field"});
    REQUIRE(grammar.ok());
    answers[i].matcher = (*grammar)->start(answers[i].credit);
  }
  int64_t cost = 0;
  constexpr int kSteps = 200;
  for (int step = 0; step < kSteps; ++step) {
    std::vector<Answer*> going;
    for (Answer& answer : answers) {
      if (!answer.failed && !answer.matcher->sits_out()) going.push_back(&answer);
    }
    for (Answer* answer : going) {
      const int64_t before = answer->credit->spent();
      try {
        mask_of(*answer->matcher);
        cost += answer->credit->spent() - before;
        CHECK(answer->matcher->accept(kLetter));
        ++answer->tokens;
      } catch (const ConstraintError&) {
        answer->failed = true;
      }
    }
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    CAPTURE(i);
    CHECK((answers[i].failed || answers[i].tokens > (i % 4 == 0 ? kSteps - 2 : 10)));
  }
  CHECK(cost > kSteps * MaskBudget::kEachStep / 4);  // they would have cost more
  CHECK(cost < (kSteps + 8) * MaskBudget::kEachStep);
}

TEST_CASE("A budget is for all, the longest waiting first") {
  MaskBudget budget(100);
  std::vector<std::shared_ptr<MaskBudget::Member>> members;
  std::vector<int> went(12);
  for (int i = 0; i < 12; ++i) {
    members.push_back(std::make_shared<MaskBudget::Member>());
    members.back()->cost = i == 3 ? 5000 : i < 8 ? 40 : 0;
  }
  for (int step = 0; step < 600; ++step) {
    int64_t cost = 0;
    for (size_t i = 0; i < members.size(); ++i) {
      if (step % 7 == 3 && i == 5) continue;  // not asked in every step
      if (budget.sits_out(members[i])) continue;
      ++went[i];
      cost += members[i]->cost;
    }
    CHECK((cost <= 100 || cost == 5000));
  }
  for (size_t i = 0; i < 8; ++i) CHECK(went[i] > 100);
  for (size_t i = 8; i < 12; ++i) CHECK(went[i] == 600);
}

TEST_CASE("Each style has its own way to write the same calls") {
  const auto called = [](const std::string& style, const std::string& text, bool parallel = true) {
    const std::string description =
        R"({"style":")" + style + R"(","among_text":false,"parallel":)" +
        (parallel ? "true" : "false") +
        R"(,"tools":[{"name":"get","path":"p","parameters":{"type":"object","required":["a"],
           "properties":{"a":{"type":"boolean"},"b":{"type":["string","null"]},
                         "c":{"enum":[1,[true,null]]}}}},
          {"name":"stop","path":"q","parameters":null},
          {"name":"any","path":"r","parameters":{"type":"object"}}]})";
    return matches(GrammarSpec::Kind::kToolCalls, description, text);
  };
  CHECK(
      called("pythonic", R"([get(a=True, b="x\"\u00e4", c=[True, None]), stop(), get(a=False)])"));
  CHECK(called("pythonic", R"([get(a=True, b=None), any(), any(x={"k": [False]}, y_1=-2e5)])"));
  CHECK_FALSE(called("pythonic", "[get(a=true)]"));
  CHECK_FALSE(called("pythonic", "[get(b=None)]"));
  CHECK_FALSE(called("pythonic", "[get(a=True, d=1)]"));
  CHECK_FALSE(called("pythonic", "[get(c=1, a=True)]"));
  CHECK_FALSE(called("pythonic", "[stop(), stop()]", false));
  CHECK(called("mistral_args", R"([TOOL_CALLS]get[ARGS]{"a": true}[TOOL_CALLS]stop[ARGS]{})"));
  CHECK_FALSE(called("mistral_args", R"([TOOL_CALLS]get[ARGS]{"a": True})"));
  CHECK(called("mistral", R"([TOOL_CALLS][{"name": "stop", "arguments": {}}])"));
  CHECK(called("llama3_json", R"({"name": "get", "parameters": {"a": true}})"));
  CHECK(called("hermes", "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>"));
  CHECK(called("react", "Action: get\nAction Input: {\"a\": true}"));
}

TEST_CASE("Calls that Python cannot write are JSON") {
  for (const char* schema : {R"({"properties":{"a-b":{"type":"null"}},"required":["a-b"]})",
                             R"({"anyOf":[{"type":"object","properties":{"a-b":{"type":"null"}},
                                           "required":["a-b"]}]})"}) {
    const std::string description =
        R"({"style":"pythonic","among_text":false,"parallel":true,
            "tools":[{"name":"f","path":"p","parameters":)" +
        std::string(schema) + "}]}";
    CHECK(matches(GrammarSpec::Kind::kToolCalls, description,
                  R"([{"name": "f", "arguments": {"a-b": null}}])"));
  }
}

TEST_CASE("A marker may be one special token") {
  constexpr TokenId kBegin = 318;
  const std::string text = "<|begin|>";
  const std::string pattern = R"([a-z]*<\|begin\|>[0-9])";
  const auto spelled = start(GrammarSpec::Kind::kRegex, pattern);
  CHECK_FALSE(allows(mask_of(*spelled), kBegin));
  CHECK(spelled->fits("ab<|begin|>1"));
  CHECK(spelled->fits(text));  // and nothing has moved
  CHECK_FALSE(spelled->fits("1"));
  MarkerTokens marked({{kBegin, text}}, start(GrammarSpec::Kind::kRegex, pattern));
  std::vector<uint32_t> mask(10, ~0u);
  marked.fill_mask(mask.data(), 320);
  CHECK(allows(mask, kBegin));
  CHECK(marked.accept(kBegin));
  CHECK_FALSE(marked.accept(kBegin));
}

TEST_CASE("A compiled grammar is found again") {
  const GrammarSpec spec{GrammarSpec::Kind::kRegex, "abc", "field"};
  const auto first = compiler().compile(spec), again = compiler().compile(spec);
  REQUIRE(first.ok());
  CHECK(first->get() == again->get());
}

}  // namespace saccade
