// Templates and values made to hang, crash or fill the memory end in an error, soon.

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "server/prompt/template/chat_template.h"

namespace saccade {
namespace {

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

// The error message; empty when it renders.
std::string failure(const std::string& source, const TemplateBudget& budget = {},
                    const TemplateValue& value = {}) {
  const auto parsed = ChatTemplate::parse(source);
  if (!parsed.ok()) return parsed.status().message();
  const auto out = parsed->render({{"v", value}}, budget);
  return out.ok() ? "" : out.status().message();
}

TEST_CASE("budgets end what would not end soon") {
  const auto start = std::chrono::steady_clock::now();
  const std::string nested_loops =
      repeated("{% for x in range(100000) %}", 5) + repeated("{% endfor %}", 5);
  CHECK(failure(nested_loops).find("step budget") != std::string::npos);
  CHECK(failure("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").find("too deeply") !=
        std::string::npos);
  CHECK(failure("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}") != "");
  CHECK(failure("{{ 'x' * 9000000 }}").find("size budget") != std::string::npos);
  CHECK(failure("{{ 'x' * 9223372036854775807 }}").find("size budget") != std::string::npos);
  CHECK(failure("{{ [1] * 9223372036854775807 }}") != "");
  CHECK(failure("{% for x in range(100000) %}{{ 'x' * 1000 }}{% endfor %}").find("size budget") !=
        std::string::npos);
  for (const char* source : {
           "{% set ns = namespace(s='x') %}{% for i in range(99999) %}{% set ns.s = ns.s ~ ns.s %}"
           "{% endfor %}",
           "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = ns.l + ns.l %}"
           "{% endfor %}",
           "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = [ns.l, ns.l] %}"
           "{% endfor %}{{ ns.l }}",
           "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}"
           "{% endfor %}",
           "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = ns.l | "
           "map('x') %}"
           "{% endfor %}",
           "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}"
           "{% set ns.l = [1] | map('default', ns.l) %}{% endfor %}",
           "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}",
           "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
           "{{ '%*d' % (999999999, 1) }}",
           "{{ '{:999999999}'.format(1) }}",
           "{{ 'a'.ljust(9223372036854775807) }}",
           "{{ 'a'.zfill(9223372036854775807) }}",
           "{{ '\t'.expandtabs(9223372036854775807) }}",
           "{{ 'a' | center(9223372036854775807) }}",
           "{{ 'a\nb' | indent(9223372036854775807) }}",
           "{{ [1] | batch(9223372036854775807, 0) | list }}",
           "{{ [1] | slice(9223372036854775807) | list }}",
           "{{ [1] | tojson(indent=9223372036854775807) }}",
           "{{ range(9223372036854775807) }}",
           "{{ range(-9223372036854775807, 9223372036854775807) }}",
           "{{ 10 ** 10 ** 10 }}",
           "{{ strftime_now('%1000000000d') }}",
           "{{ (-9223372036854775807 - 1) // -1 }}",
           "{{ -(-9223372036854775807 - 1) }}",
           "{{ 9223372036854775807 | round(-1) }}",
       }) {
    CAPTURE(source);
    CHECK(failure(source) != "");
  }
  CHECK(failure("{{ (-9223372036854775807 - 1) % -1 }}{{ 'abc'[-9223372036854775807:] }}"
                "{{ 'abc'[::9223372036854775807] }}{{ [1, 2][::-9223372036854775807] }}"
                "{{ range(5)[::9223372036854775807] | list }}") == "");
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  CHECK(elapsed.count() < 30);
}

TEST_CASE("smaller budgets are kept") {
  TemplateBudget steps;
  steps.max_steps = 50;
  CHECK(failure("{{ 1 }}", steps) == "");
  CHECK(failure("{% for i in range(60) %}{% endfor %}", steps).find("step budget") !=
        std::string::npos);
  TemplateBudget bytes;
  bytes.max_output_bytes = 10;
  CHECK(failure("0123456789", bytes) == "");
  CHECK(failure("0123456789{{ 1 }}", bytes).find("size budget") != std::string::npos);
  TemplateBudget depth;
  depth.max_depth = 20;
  CHECK(failure("{{ [[1]] }}", depth) == "");
  CHECK(failure("{{ " + repeated("[", 30) + repeated("]", 30) + " }}", depth) != "");
}

TEST_CASE("deeply nested sources are refused while they are parsed") {
  for (const int depth : {300, 100000}) {
    for (const std::string& source : {
             "{{ " + repeated("(", depth) + "1" + repeated(")", depth) + " }}",
             "{{ " + repeated("[", depth) + repeated("]", depth) + " }}",
             "{{ " + repeated("not ", depth) + "1 }}",
             "{{ " + repeated("-", depth) + "1 }}",
             "{{ 1" + repeated(" + 1", depth) + " }}",
             "{{ x" + repeated("|trim", depth) + " }}",
             "{{ x" + repeated(".y", depth) + " }}",
             "{{ x" + repeated("[0", depth) + repeated("]", depth) + " }}",
             "{{ f" + repeated("(f", depth) + repeated(")", depth) + " }}",
             "{{ 1" + repeated(" if 1 else 1", depth) + " }}",
             repeated("{% if 1 %}", depth) + repeated("{% endif %}", depth),
             repeated("{% for x in y %}", depth) + repeated("{% endfor %}", depth),
         }) {
      CAPTURE(depth, source.substr(0, 40));
      const std::string message = failure(source);
      CHECK((message.find("nested too deeply") != std::string::npos ||
             message == "the chat template is too long"));
    }
  }
  std::string branches = "{% if 0 %}";
  for (int i = 0; i < 5000; ++i) branches += "{% elif 0 %}";
  CHECK(failure(branches + "{% endif %}") == "");
}

TEST_CASE("hostile values fail the rendering that uses them") {
  nlohmann::ordered_json deep = 1;
  for (int i = 0; i < 3000; ++i) deep = nlohmann::ordered_json::array({deep});
  const auto value = TemplateValue::from_json(deep, true);
  CHECK(failure("{{ v | tojson }}", {}, value).find("nested too deeply") != std::string::npos);
  CHECK(failure("{{ v }}", {}, value) != "");
  CHECK(failure("{{ v == v }}", {}, value) == "");
  CHECK(failure("unused", {}, value) == "");
  CHECK(failure("{{ v }}", {}, TemplateValue::string("\xff\xfe", true)).find("UTF-8") !=
        std::string::npos);

  nlohmann::ordered_json wide = nlohmann::ordered_json::object();
  for (int i = 0; i < 20000; ++i) wide["k" + std::to_string(i)] = i;
  CHECK(failure("{% for i in range(20000) %}{% set x = v['k' ~ i] %}{% endfor %}"
                "{{ 1 / (v.k19999 == 19999) }}",
                {}, TemplateValue::from_json(wide, true)) == "");
}

TEST_CASE("scrambled templates never crash") {
  static const char* const kPieces[] = {
      "{{",   "}}",      "{%",        "%}",    "{#",       "#}",        "-",   "+",
      " ",    "\n",      "if",        "else",  "endif",    "for",       "in",  "endfor",
      "set",  "x",       "loop",      "macro", "endmacro", "(",         ")",   "[",
      "]",    "{",       "}",         ":",     ",",        ".",         "|",   "is",
      "not",  "and",     "1",         "2.5",   "'a'",      "\"",        "'",   "\\",
      "=",    "==",      "~",         "*",     "**",       "%",         "raw", "endraw",
      "call", "endcall", "namespace", "upper", "defined",  "recursive", "é",   "\xf0",
  };
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string source;
    if (round % 2 == 0) source = "{{ ";
    for (int i = 0; i < 12; ++i)
      source += std::string(kPieces[random() % std::size(kPieces)]) + " ";
    if (round % 2 == 0) source += " }}";
    TemplateBudget budget;
    budget.max_steps = 10000;
    failure(source, budget);
  }
  SUCCEED("no crash");
}

}  // namespace
}  // namespace saccade
