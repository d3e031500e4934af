// Answers cut into content, reasoning and calls: each case whole, byte by byte, and cut anywhere.
#include <catch2/catch_test_macros.hpp>

#include "server/output/answer/answer_parser.h"

namespace saccade {
namespace {

// "C:" content, "R:" reasoning, "name(arguments)" calls, joined where they are one.
std::string describe(const AnswerPieces& pieces) {
  std::string text;
  int call = -1;
  std::string kind;
  for (const AnswerPiece& piece : pieces) {
    switch (piece.kind) {
      case AnswerPiece::Kind::kContent:
      case AnswerPiece::Kind::kReasoning: {
        const std::string label = piece.kind == AnswerPiece::Kind::kContent ? "C:" : "R:";
        if (kind != label) text += (text.empty() ? "" : " | ") + label;
        kind = label;
        text += piece.text;
        break;
      }
      case AnswerPiece::Kind::kCall:
        CHECK(piece.call == ++call);
        text += (text.empty() ? "" : " | ") + piece.text + "#";
        kind = "call";
        break;
      case AnswerPiece::Kind::kArguments:
        CHECK(piece.call == call);
        text += piece.text;
    }
  }
  return text;
}

AnswerPieces parse(const AnswerSyntax& syntax, const std::vector<std::string>& parts,
                   bool by_length = false) {
  AnswerParser parser(syntax);
  AnswerPieces all;
  for (const std::string& part : parts) {
    for (AnswerPiece& piece : parser.push(part)) all.push_back(std::move(piece));
  }
  for (AnswerPiece& piece : parser.finish(by_length)) all.push_back(std::move(piece));
  return all;
}

void check(const AnswerSyntax& syntax, const std::string& text, const std::string& expected) {
  INFO(text);
  CHECK(describe(parse(syntax, {text})) == expected);
  std::vector<std::string> bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  CHECK(describe(parse(syntax, bytes)) == expected);
  for (size_t cut = 1; cut < text.size(); ++cut) {
    const std::string cut_there = describe(parse(syntax, {text.substr(0, cut), text.substr(cut)}));
    if (cut_there != expected) {
      INFO(cut);
      CHECK(cut_there == expected);
    }
  }
}

// Of an answer that max_tokens has cut there.
void check_cut(const AnswerSyntax& syntax, const std::string& text, const std::string& expected) {
  INFO(text);
  CHECK(describe(parse(syntax, {text}, true)) == expected);
  std::vector<std::string> bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  CHECK(describe(parse(syntax, bytes, true)) == expected);
}

AnswerSyntax tools(ToolStyle style) {
  AnswerSyntax syntax;
  syntax.tools = style;
  syntax.tool_names = {"get", "set_it"};
  return syntax;
}

AnswerSyntax reasoning(const char* name, bool begins_inside = false) {
  AnswerSyntax syntax;
  syntax.reasoning = reasoning_style(name);
  syntax.begins_inside = begins_inside;
  return syntax;
}

}  // namespace

TEST_CASE("Hermes calls") {
  const AnswerSyntax hermes = tools(ToolStyle::kHermes);
  check(hermes, "Just text, a < b.", "C:Just text, a < b.");
  check(hermes,
        "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"a\": [1, \"}\"]}}\n</tool_call>",
        "get#{\"a\": [1, \"}\"]}");
  check(hermes, "Wait.\n<tool_call>{\"name\":\"get\",\"arguments\":{}}</tool_call>",
        "C:Wait. | get#{}");
  check(hermes,
        "<tool_call>{\"name\":\"get\",\"arguments\":{\"x\":1}}</tool_call>\n"
        "<tool_call>{\"arguments\":{\"y\":\"\\\"</tool_call>\"},\"name\":\"set_it\"}</tool_call>\n",
        "get#{\"x\":1} | set_it#{\"y\":\"\\\"</tool_call>\"}");
  check(hermes, "<tool_call>{\"name\":\"get\",\"arguments\":\"{\\\"x\\\":1}\"}</tool_call> done",
        "get#{\"x\":1} | C: done");
  check(hermes, "<tool_call>{\"name\":\"get\"}", "get#{}");
  check(hermes, "<tool_call>{\"name\":\"get\",\"arguments\":{\"x\":", "get#{\"x\":");
  check(hermes, "a <tool_cal", "C:a <tool_cal");
  check(hermes, "<tool_call>no json</tool_call>", "C:<tool_call>no json</tool_call>");
}

TEST_CASE("Mistral calls") {
  const AnswerSyntax mistral = tools(ToolStyle::kMistral);
  check(mistral,
        "[TOOL_CALLS][{\"name\": \"get\", \"arguments\": {\"a\": 1}}, {\"name\": \"set_it\", "
        "\"arguments\": {}}]",
        "get#{\"a\": 1} | set_it#{}");
  check(mistral, "[TOOL_CALLS]get{\"a\": {\"b\": 2}}", "get#{\"a\": {\"b\": 2}}");
  check(mistral, "[TOOL_CALLS]get[ARGS]{}[TOOL_CALLS]set_it[ARGS]{\"c\":3}",
        "get#{} | set_it#{\"c\":3}");
  check(mistral, "[TOOL_CALLS]get[CALL_ID]a1b2c3d4e[ARGS]{\"c\":3}", "get#{\"c\":3}");
  check(mistral, "See [TOOL] and [1]", "C:See [TOOL] and [1]");
}

TEST_CASE("Calls as bare JSON") {
  for (const ToolStyle style : {ToolStyle::kLlama3, ToolStyle::kJson}) {
    const AnswerSyntax bare = tools(style);
    check(bare, "{\"name\": \"get\", \"parameters\": {\"a\": 1}}", "get#{\"a\": 1}");
    check(bare,
          "<|python_tag|>{\"name\": \"get\", \"parameters\": {}}; "
          "{\"name\":\"set_it\",\"parameters\":{}}",
          "get#{} | set_it#{}");
    check(
        bare,
        "[{\"name\": \"get\", \"arguments\": {}}, {\"name\": \"get\", \"arguments\": {\"b\":[]}}]",
        "get#{} | get#{\"b\":[]}");
    check(bare, "{\"name\": \"unknown\", \"parameters\": {}}",
          "C:{\"name\": \"unknown\", \"parameters\": {}}");
    check(bare, "{\"answer\": 42}", "C:{\"answer\": 42}");
    check(bare, " Plain {\"name\": \"get\"}", "C: Plain {\"name\": \"get\"}");
    check(bare, "{\"na", "C:{\"na");
  }
}

TEST_CASE("Pythonic calls") {
  const AnswerSyntax pythonic = tools(ToolStyle::kPythonic);
  check(pythonic, "[get(a=1, b='it\\'s', c=[True, None, {\"k\": -2.5}]), set_it()]",
        "get#{\"a\":1,\"b\":\"it's\",\"c\":[true,null,{\"k\":-2.5}]} | set_it#{}");
  check(pythonic, "[{\"name\": \"get\", \"arguments\": {\"a\": 1}}]", "get#{\"a\":1}");
  check(pythonic, R"([get(a='\x41\u00e4\ud83d\ude00\U0001f600\d\/', b=1e+5, c=-3)])",
        "get#{\"a\":\"A\u00e4\U0001f600\U0001f600\\\\d/\",\"b\":100000.0,\"c\":-3}");
  check(pythonic, "[get(a='\\ud83d')]", "get#{\"a\":\"\xef\xbf\xbd\"}");
  check(pythonic, "[get(a='\\u00')]", "C:[get(a='\\u00')]");
  check(pythonic, "[1, 2, 3]", "C:[1, 2, 3]");
  check(pythonic, "[other(a=1)]", "C:[other(a=1)]");
  check(pythonic, "No [get()]", "C:No [get()]");
}

TEST_CASE("ReAct calls") {
  const AnswerSyntax react = tools(ToolStyle::kReact);
  check(react, "Thought: I must look.\nAction: get\nAction Input: {\"a\": 1}\nObservation:",
        "C:Thought: I must look. | get#{\"a\": 1}");
  check(react, "Action: get\nAction Input: cats\n", "get#{\"input\":\"cats\"}");
  check(react, "Thought: done. No Action: here\nFinal Answer: 4",
        "C:Thought: done. No Action: here\nFinal Answer: 4");
  check(react, "A\nB\n\nAct", "C:A\nB\n\nAct");
}

TEST_CASE("What an answer's length cuts off before a call has a name is not content") {
  const AnswerSyntax hermes = tools(ToolStyle::kHermes);
  check_cut(hermes, "<tool_call>", "");
  check_cut(hermes, "Wait. <tool_call>\n{\"name\": \"ge", "C:Wait.");
  check_cut(hermes, "<tool_call>{\"name\": \"get\", \"argu", "get#");
  check_cut(hermes, "a <tool_cal", "C:a <tool_cal");  // may be text
  check_cut(hermes, "if a <", "C:if a <");
  check(hermes, "<tool_call>{\"name\": \"ge",
        "C:<tool_call>{\"name\": \"ge");  // the model's own end
  const AnswerSyntax mistral = tools(ToolStyle::kMistral);
  check_cut(mistral, "[TOOL_CALLS][{\"na", "");
  check_cut(mistral, "[TOOL_CALLS]ge", "");
  check_cut(mistral, "[TOOL_CALLS]get{\"a\": 1", "get#{\"a\": 1");
  const AnswerSyntax llama = tools(ToolStyle::kLlama3);
  check_cut(llama, "<|python_tag|>{\"name\": \"g", "");
  check_cut(llama, "{\"name\": \"g", "C:{\"name\": \"g");
  const AnswerSyntax react = tools(ToolStyle::kReact);
  check_cut(react, "Thought: a\nAction: ge", "C:Thought: a");
  check_cut(react, "Action: get\nAction Input: {\"a\": ", "get#{\"a\":");
}

TEST_CASE("Reasoning") {
  check(reasoning("think"), "<think>\nHm, a<b.\n</think>\n\nFour.", "R:Hm, a<b. | C:Four.");
  check(reasoning("think"), "Four </think>.", "C:Four </think>.");
  check(reasoning("think"), "<think>never ends </thin", "R:never ends </thin");
  check(reasoning("think", true), "inside</think>out", "R:inside | C:out");
  check(reasoning("think"), "<think>\n\n</think>\n\nx", "C:x");
  check(reasoning("answer"), "It is red, so A. The answer is A.",
        "R:It is red, so A. | C:The answer is A.");
  check(reasoning("because"), "The answer is A.\nBECAUSE: it is red.",
        "C:The answer is A. | R:it is red.");
  check(reasoning("[R],[/R]"), "[R]x[/R]y", "R:x | C:y");
  CHECK_FALSE(reasoning_style("nonsense"));
}

TEST_CASE("Reasoning before calls") {
  AnswerSyntax both = tools(ToolStyle::kHermes);
  both.reasoning = reasoning_style("think");
  check(
      both,
      "<think>use <tool_call>?</think>\n<tool_call>{\"name\":\"get\",\"arguments\":{}}</tool_call>",
      "R:use <tool_call>? | get#{}");
}

TEST_CASE("Styles are found in templates") {
  CHECK(detect_tool_style("... <tool_call> ...") == ToolStyle::kHermes);
  CHECK(detect_tool_style("{{ '[TOOL_CALLS]' }}") == ToolStyle::kMistral);
  CHECK(detect_tool_style("{{ '[TOOL_CALLS]' + name + '[ARGS]' }}") == ToolStyle::kMistralArgs);
  CHECK(detect_tool_style("Environment: ipython") == ToolStyle::kLlama3);
  CHECK(detect_tool_style("Action Input: ...") == ToolStyle::kReact);
  for (const std::string& name : tool_style_names())
    CHECK(tool_style_name(*tool_style(name)) == name);
  CHECK(detect_reasoning_style("<think>").has_value());
  CHECK_FALSE(detect_reasoning_style("").has_value());
}

}  // namespace saccade
