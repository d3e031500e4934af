// The template language itself. What Python prints for the same source is checked against jinja2 in
// test_templates_against_reference.py; here are the rules one by one, and the errors.

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "server/prompt/template/chat_template.h"

namespace saccade {
namespace {

std::map<std::string, TemplateValue> sample_globals() {
  const auto json = nlohmann::ordered_json::parse(R"({
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
    "xs": [3, 1, 2], "d": {"b": 1, "a": [true, null, 1.5]}, "s": "Größe", "big": 18446744073709551615
  })");
  std::map<std::string, TemplateValue> globals;
  for (const auto& [name, value] : json.items()) {
    globals.emplace(name, TemplateValue::from_json(value, false));
  }
  return globals;
}

// The output, or "error: " and the message.
std::string render(const std::string& source, std::optional<std::time_t> now = {}) {
  const auto parsed = ChatTemplate::parse(source);
  if (!parsed.ok()) return "error: " + parsed.status().message();
  const auto out = parsed->render(sample_globals(), {}, now);
  if (!out.ok()) return "error: " + out.status().message();
  std::string text;
  for (const TextSegment& segment : *out) text += segment.text;
  return text;
}

struct Case {
  const char* source;
  const char* expected;
};

void check(const std::vector<Case>& cases) {
  for (const auto& [source, expected] : cases) {
    CAPTURE(source);
    CHECK(render(source) == expected);
  }
}

TEST_CASE("white space around tags") {
  check({
      {"a\n{% if true %}\nb\n{% endif %}\nc\n", "a\nb\nc"},
      {"  {% if true %}x{% endif %}  ", "x  "},
      {"  {%+ if true %}x{%+ endif %}", "  x"},
      {"a  {%- if true -%}  b  {%- endif -%}  c", "abc"},
      {"a {{- 1 -}} b", "a1b"},
      {"a\n{# note #}\nb", "a\nb"},
      {"{% if true +%}\nx{% endif %}", "\nx"},
      {"a {# x -#}  b", "a b"},
      {"  {{ 1 }}", "  1"},
      {"{% raw %}{{ x }}{% endraw %}\n y", "{{ x }} y"},
      {"a\r\nb\rc", "a\nb\nc"},
      {"x\n\n", "x\n"},
  });
}

TEST_CASE("literals and operators") {
  check({
      {"{{ 1 + 2 * 3 ** 2 - 10 // 3 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }}", "16 -4 2 3.5"},
      {"{{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 2 ** -1 }}", "4 64 0.5"},
      {"{{ 0x1F }} {{ 0b11 }} {{ 0o17 }} {{ 1_000 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 1e16 }}",
       "31 3 15 1000 1000.0 1.5e-07 1e+16"},
      {"{{ 'a' 'b' }}{{ 'c' ~ 1 ~ none ~ 1.0 }}", "abc1None1.0"},
      {R"({{ 'a\n\x41\u00e9\t\'' }})", "a\nAé\t'"},
      {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 in [1] }} {{ 1 not in [1] }}",
       "True False True False"},
      {"{{ not 1 == 2 }} {{ none or 'x' }} {{ 0 and y.z }}", "True x 0"},
      {"{{ (1,) }} {{ () }} {{ [1, 'a', \"it's\"] }} {{ {'k': none, 2: true} }}",
       "(1,) () [1, 'a', \"it's\"] {'k': None, 2: True}"},
      {"{{ 'x' if false else 'y' }}{{ 'z' if false }}", "y"},
      {"{{ 'ab' * 2 }}{{ [1] * 2 }}{{ 'a' * -1 }}", "abab[1, 1]"},
      {"{{ true + 1 }} {{ 1 == 1.0 }} {{ '1' == 1 }} {{ [1, 2] < [1, 3] }}", "2 True False True"},
      {"{{ big }} {{ big | tojson }}", "18446744073709551615 18446744073709551615"},
      {"{{ 'a|b' | length == 3 }}", "True"},
  });
}

TEST_CASE("items, attributes and slices") {
  check({
      {"{{ messages[0].role }} {{ messages[-1]['content'] }} {{ d.a.2 }}", "user Ho 1.5"},
      {"{{ s[0] }}{{ s[2] }}{{ s[-1] }} {{ s | length }} {{ s[::-1] }} {{ s[1:3] }}",
       "Göe 5 eßörG rö"},
      {"{{ xs[1:] }} {{ xs[::-1] }} {{ xs[5:] }} {{ range(10)[2:8:3] | list }}",
       "[1, 2] [2, 1, 3] [] [2, 5]"},
      {"[{{ missing }}] [{{ d.nothing }}] [{{ xs[9] }}] [{{ s.__class__ }}]", "[] [] [] []"},
      {"{{ d.items is callable }} {{ d.get('q', 7) }} {{ d.keys() | list }}", "True 7 ['b', 'a']"},
      {"{{ {'items': 1}['items'] }} {{ {'a': {'b': 2}}.a.b }}", "1 2"},
      {"{{ xs.append is defined }} {{ d.update is defined }}", "False False"},
  });
}

TEST_CASE("loops") {
  check({
      {"{% for x in xs %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}"
       "{{ loop.last }}|{% endfor %}",
       "103TrueFalse|212FalseFalse|321FalseTrue|"},
      {"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "b=1;a=[True, None, 1.5];"},
      {"{% for x in [] %}{% else %}none{% endfor %}{% for x in y %}a{% else %}b{% endfor %}",
       "noneb"},
      {"{% for x in xs if x > 1 %}{{ x }}/{{ loop.length }} {% endfor %}", "3/2 2/2 "},
      {"{% for x in range(9) %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}"
       "{% endif %}{{ x }}{% endfor %}",
       "023"},
      {"{% for x in xs %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
       "<3>1 3<1>2 1<2> "},
      {"{% for x in [1, [2, [3]]] recursive %}{{ loop.depth }}:{% if x is iterable %}"
       "({{ loop(x) }}){% else %}{{ x }} {% endif %}{% endfor %}",
       "1:1 1:(2:2 2:(3:3 ))"},
      {"{% set n = 0 %}{% for x in xs %}{% set n = n + x %}{{ n }} {% endfor %}{{ n }}", "3 1 2 0"},
      {"{% set ns = namespace(n=0) %}{% for x in xs %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n "
       "}}",
       "6"},
      {"{% for a, (b, c) in [(1, (2, 3))] %}{{ a + b + c }}{% endfor %}", "6"},
      {"{% for x in 'ab' %}{{ loop.cycle('-', '+') }}{{ x }}{{ loop.changed(1) }}{% endfor %}",
       "-aTrue+bFalse"},
  });
}

TEST_CASE("set, macros, calls and filters on blocks") {
  check({
      {"{% set a, b = 1, 2 %}{{ b }}{{ a }}{% set t %}x{{ a }}y{% endset %}{{ t | upper }}",
       "21X1Y"},
      {"{% set t | trim | upper %}  a {% endset %}[{{ t }}]", "[A]"},
      {"{% macro f(a, b='B', c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}{{ f(1, c=2) }}",
       "1B11B2"},
      {"{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, x=2) }}", "(1,){'x': 2}"},
      {"{% macro f(n) %}<{{ caller(n) }}>{% endmacro %}{% call(x) f(3) %}{{ x + 1 }}{% endcall %}",
       "<4>"},
      {"{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
       "3210"},
      {"{% filter upper | replace('A', 'b') %}xa{% endfilter %}", "Xb"},
      {"{% generation %}a{{ 1 }}{% endgeneration %}{% with x = 2 %}{{ x }}{% endwith %}{{ x }}",
       "a12"},
      {"{% macro late() %}{{ y }}{% endmacro %}{% set y = 5 %}{{ late() }}", "5"},
      {"{% block b %}{{ s }}{% endblock %}", "Größe"},
      {"{% set j = joiner('|') %}{% for x in xs %}{{ j() }}{{ x }}{% endfor %}", "3|1|2"},
      {"{% print 1, 2 %}", "12"},
  });
}

TEST_CASE("filters and tests") {
  check({
      {"{{ ' a ' | trim }}{{ 'xxaxx' | trim('x') }}{{ 'ab' | upper | lower | capitalize }}",
       "aaAb"},
      {"{{ d | tojson }}", R"({"b": 1, "a": [true, null, 1.5]})"},
      {"{{ d | tojson(indent=1, sort_keys=true) }}",
       "{\n \"a\": [\n  true,\n  null,\n  1.5\n ],\n \"b\": 1\n}"},
      {"{{ 'é<\x01' | tojson }}{{ 'é' | tojson(ensure_ascii=true) }}", "\"é<\\u0001\"\"\\u00e9\""},
      {"{{ messages | map(attribute='role') | join(', ') }}", "user, assistant"},
      {"{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | first }}",
       "Hi"},
      {"{{ messages | rejectattr('role', 'eq', 'user') | list | length }}", "1"},
      {"{{ x | default('d') }}{{ '' | d('e', true) }}{{ none | default('f') }}", "deNone"},
      {"{{ '3.7' | int }} {{ 'x' | int(5) }} {{ '2' | float }} {{ 2.5 | round }} {{ -3 | abs }}",
       "3 5 2.0 2.0 3"},
      {"{{ xs | sort | join }}{{ xs | max }}{{ xs | sum }}{{ xs | reverse | list }}",
       "12336[2, 1, 3]"},
      {"{{ d | items | list }}{{ d | dictsort | first }}",
       "[('b', 1), ('a', [True, None, 1.5])]('a', [True, None, 1.5])"},
      {"{{ 'a\nb' | indent(2) }}|{{ 'a\n\nb' | indent('>', first=true) }}", "a\n  b|>a\n\n>b"},
      {"{{ 'a b c d' | truncate(5, leeway=0) }}{{ '%s-%d' | format('x', 3) }}", "a...x-3"},
      {"{{ 3 is odd }}{{ 's' is string }}{{ x is defined }}{{ none is none }}{{ xs is sequence }}",
       "TrueTrueFalseTrueTrue"},
      {"{{ 1 is not string and 2 is in [2] }}{{ 4 is divisibleby 2 }}", "TrueTrue"},
      {"{{ ('<'|escape) + '<' }}{{ '<' | e }}", "&lt;&lt;&lt;"},
      {"{{ [('a' | e)[0]] }}", "[Markup('a')]"},
      {"{% if false %}{{ 1 | no_such_filter }}{% endif %}ok", "ok"},
  });
}

TEST_CASE("string methods") {
  check({
      {"{{ 'a,b,,c'.split(',') }}{{ ' a  b '.split() }}{{ 'a b c'.rsplit(' ', 1) }}",
       "['a', 'b', '', 'c']['a', 'b']['a b', 'c']"},
      {"{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.endswith('bc') }}{{ 'abc'.find('c') }}",
       "TrueTrue2"},
      {"{{ 'straße'.upper() }} {{ 'ΑΣ'.lower() }} {{ 'ǆ x'.title() }} {{ 'İ'.lower() | length }}",
       "STRASSE ας ǅ X 2"},
      {"{{ range(4).index(2) }}{{ ('&' | e).join([1, '<']) }}", "21&amp;&lt;"},
      {"{{ '%05.1f|%-4s|%x|%%' % (2.25, 'a', 255) }}", "002.2|a   |ff|%"},
      {"{{ '{0}{1}{0} {n:>4} {x!r:<5}|'.format(1, 2, n='a', x='b') }}", "121    a 'b'  |"},
      {"{{ 'a\nb\r\nc'.splitlines() }}{{ '-'.join(['a', 'b']) }}{{ 'abc'.replace('', '.') }}",
       "['a', 'b', 'c']a-b.a.b.c."},
      {"{{ '１２'.isdigit() }}{{ 'a'.islower() }}{{ ' '.isspace() }}{{ 'x'.zfill(3) }}",
       "TrueTrueTrue00x"},
  });
}

TEST_CASE("the clock can be set") {
  setenv("TZ", "UTC", 1);
  tzset();
  CHECK(render("{{ strftime_now('%d %b %Y %H:%M') }}", 1753000000) == "20 Jul 2025 08:26");
  CHECK(render("[{{ strftime_now('') }}]", 0) == "[]");
  CHECK(render("[{{ strftime_now('%Z%z%f') }}]", 0) == "[000000]");
}

TEST_CASE("what Python refuses is refused") {
  for (const char* source : {
           "{{ x.y }}",
           "{{ none.x.y }}",
           "{{ 1 + 'a' }}",
           "{{ 'a' + 1 }}",
           "{{ x + 1 }}",
           "{{ 1 / 0 }}",
           "{{ 1 % 0 }}",
           "{{ x() }}",
           "{{ 'a'() }}",
           "{{ 1 < 'a' }}",
           "{{ x | tojson }}",
           "{{ xs.append(1) }}",
           "{{ d.update({}) }}",
           "{{ 1 in 2 }}",
           "{% for x in 5 %}{% endfor %}",
           "{% for a, b in [1] %}{% endfor %}",
           "{% for a, b in [[1, 2, 3]] %}{% endfor %}",
           "{{ {[]: 1} }}",
           "{{ 'a'.join([1]) }}",
           "{% set d.x = 1 %}",
           "{% include 'x' %}",
           "{{ range(100001) }}",
           "{{ loop.index }}",
           "{{ 'a'.split('') }}",
           "{{ 9223372036854775807 + 1 }}",
           "{{ 2 ** 64 }}",
           "{{ 1 | no_such_filter }}",
           "{{ 1 is no_such_test }}",
           "{{ 'x' | map('nope') | list }}",
           "{{ s[::0] }}",
           "{{ 'a' | round }}",
           "{{ '%d' % 'x' }}",
           "{{ '{' | string.format() }}",
       }) {
    CAPTURE(source);
    CHECK(render(source).starts_with("error: "));
  }
}

TEST_CASE("malformed templates name the line") {
  struct Malformed {
    const char* source;
    const char* part;
  };
  for (const auto& [source, part] : std::vector<Malformed>{
           {"a\n{{ 1 + }}", "(line 2)"},
           {"{% if x %}\n\n", "'endif' is missing"},
           {"\n\n{% nonsense %}", "unknown tag 'nonsense'. (line 3)"},
           {"{{ 'open }}", "open string"},
           {"{# open", "end of comment"},
           {"{% raw %}", "end of raw"},
           {"{{ (1 }}", "unexpected '}', expected ')'"},
           {"{% endfor %}", "unknown tag 'endfor'"},
           {"{% break %}", "outside loop"},
           {"{% set 1 = 2 %}", "can't assign"},
           {"{{ 1 ; }}", "unexpected"},
           {"{{ ! }}", "unexpected char '!'"},
           {"{{ f(a=1, a=2) }}", "invalid syntax"},
           {"{{ 99999999999999999999 }}", "64 bits"},
           {"\xff", "UTF-8"},
       }) {
    CAPTURE(source);
    const std::string out = render(source);
    CHECK(out.starts_with("error: the chat template does not parse: "));
    CHECK(out.find(part) != std::string::npos);
  }
}

TEST_CASE("errors quote the template") {
  CHECK(render("{{ raise_exception('only user turns, not ' ~ messages[1].role) }}") ==
        "error: the chat template refuses this request: \"only user turns, not assistant\"");
  CHECK(render("\n\n{{ messages[7].role }}").ends_with("(line 3)"));
}

TEST_CASE("a template knows which globals it reads") {
  const auto parsed = ChatTemplate::parse(
      "{% set mine = 1 %}{% macro m(p) %}{{ p }}{{ deep }}{% endmacro %}"
      "{% for tool in tools %}{{ tool }}{{ loop.index }}{% endfor %}{{ mine }}{{ m(1) }}"
      "{% if documents is defined %}{% set maybe = 1 %}{% endif %}{{ maybe }}");
  REQUIRE(parsed.ok());
  for (const char* name : {"tools", "documents", "deep", "maybe"}) CHECK(parsed->uses(name));
  for (const char* name : {"mine", "tool", "loop", "m", "p", "messages"}) {
    CHECK_FALSE(parsed->uses(name));
  }
}

TEST_CASE("one template renders on many threads") {
  const auto parsed = ChatTemplate::parse(
      "{% macro f(m) %}{{ m.role | upper }}{% endmacro %}"
      "{% for m in messages %}{{ f(m) }}{{ m.content ~ loop.index }}{% endfor %}");
  REQUIRE(parsed.ok());
  const auto globals = sample_globals();
  std::vector<std::string> results(4);
  std::vector<std::thread> threads;
  for (std::string& result : results) {
    threads.emplace_back([&parsed, &globals, &result] {
      for (int i = 0; i < 200; ++i) {
        const auto out = parsed->render(globals);
        result = out.ok() && out->size() == 1 ? (*out)[0].text : "failed";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& result : results) CHECK(result == "USERHi1ASSISTANTHo2");
}

}  // namespace
}  // namespace saccade
