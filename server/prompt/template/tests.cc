// Tests: what stands behind `is`.

#include <algorithm>
#include <cmath>

#include "server/prompt/template/arguments.h"
#include "server/prompt/template/filters.h"
#include "server/prompt/template/interpreter.h"
#include "server/prompt/template/unicode.h"

namespace saccade::jinja {
namespace {

using Call = const Arguments&;

void no_arguments(Call call) { const Parameters none("test", call, {}); }

const Value& one_argument(Call call) {
  if (call.positional.size() != 1 || !call.named.empty()) {
    throw TemplateError("this test takes exactly one argument");
  }
  return call.positional[0];
}

template <Kind... kinds>
bool is_kind(Interpreter&, const Value& value, Call call) {
  no_arguments(call);
  return (value.is(kinds) || ...);
}

bool defined(Interpreter&, const Value& value, Call call) {
  no_arguments(call);
  return !value.is_undefined();
}

template <bool expected>
bool is_bool(Interpreter&, const Value& value, Call call) {
  no_arguments(call);
  return value.is(Kind::kBool) && value.as_bool() == expected;
}

template <int64_t rest>
bool parity(Interpreter& interpreter, const Value& value, Call call) {
  no_arguments(call);
  const Value two = Value::integer(2);
  return equals(binary(interpreter, BinaryOp::kMod, value, two), Value::integer(rest));
}

bool divisible_by(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("divisibleby", call, {"num"}, 1);
  return equals(binary(interpreter, BinaryOp::kMod, value, *given[0]), Value::integer(0));
}

template <CharTest test>
bool has_case(Interpreter& interpreter, const Value& value, Call call) {
  no_arguments(call);
  return test_characters(to_text(interpreter, value).view(), test);
}

template <CompareOp op>
bool comparison(Interpreter& interpreter, const Value& value, Call call) {
  return compare(interpreter, op, value, one_argument(call));
}

bool in(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("in", call, {"seq"}, 1);
  return contains(interpreter, *given[0], value);
}

bool sequence(Interpreter&, const Value& value, Call call) {
  no_arguments(call);
  return value.is_undefined() || value.is_string() || value.is_sequence() ||
         value.is(Kind::kDict) || value.is(Kind::kRange);
}

bool iterable(Interpreter&, const Value& value, Call call) {
  no_arguments(call);
  return !value.is_none() && !value.is_number() && !value.is(Kind::kNamespace) &&
         !value.is(Kind::kCallable);
}

bool same_as(Interpreter&, const Value& value, Call call) {
  const Parameters given("sameas", call, {"other"}, 1);
  const Value& other = *given[0];
  if (value.kind() != other.kind()) return false;
  if (value.is_number()) return equals(value, other);
  if (value.is_string()) return value.bytes() == other.bytes();
  return value.identity() == other.identity();
}

bool escaped(Interpreter&, const Value& value, Call call) {
  no_arguments(call);
  return value.is_markup();
}

bool callable(Interpreter&, const Value& value, Call call) {
  no_arguments(call);
  // Undefined has a __call__ (which fails), so Python's callable() says yes.
  return value.is(Kind::kCallable) || value.is_undefined();
}

bool is_filter(Interpreter&, const Value& value, Call call) {
  no_arguments(call);
  require_hashable(value);
  return value.is_string() && find_filter(value.bytes()) != nullptr;
}

bool is_test(Interpreter&, const Value& value, Call call) {
  no_arguments(call);
  require_hashable(value);
  return value.is_string() && find_test(value.bytes()) != nullptr;
}

struct TestEntry {
  std::string_view name;
  Test function;
};

constexpr TestEntry kTests[] = {
    {"defined", defined},
    {"undefined", is_kind<Kind::kUndefined>},
    {"none", is_kind<Kind::kNone>},
    {"string", is_kind<Kind::kString>},
    {"mapping", is_kind<Kind::kDict>},
    {"number", is_kind<Kind::kBool, Kind::kInt, Kind::kFloat>},
    {"integer", is_kind<Kind::kInt>},
    {"float", is_kind<Kind::kFloat>},
    {"boolean", is_kind<Kind::kBool>},
    {"true", is_bool<true>},
    {"false", is_bool<false>},
    {"odd", parity<1>},
    {"even", parity<0>},
    {"divisibleby", divisible_by},
    {"lower", has_case<CharTest::kLower>},
    {"upper", has_case<CharTest::kUpper>},
    {"sequence", sequence},
    {"iterable", iterable},
    {"callable", callable},
    {"sameas", same_as},
    {"escaped", escaped},
    {"filter", is_filter},
    {"test", is_test},
    {"in", in},
    {"==", comparison<CompareOp::kEq>},
    {"eq", comparison<CompareOp::kEq>},
    {"equalto", comparison<CompareOp::kEq>},
    {"!=", comparison<CompareOp::kNe>},
    {"ne", comparison<CompareOp::kNe>},
    {">", comparison<CompareOp::kGt>},
    {"gt", comparison<CompareOp::kGt>},
    {"greaterthan", comparison<CompareOp::kGt>},
    {">=", comparison<CompareOp::kGe>},
    {"ge", comparison<CompareOp::kGe>},
    {"<", comparison<CompareOp::kLt>},
    {"lt", comparison<CompareOp::kLt>},
    {"lessthan", comparison<CompareOp::kLt>},
    {"<=", comparison<CompareOp::kLe>},
    {"le", comparison<CompareOp::kLe>},
};

}  // namespace

Test find_test(std::string_view name) {
  for (const TestEntry& entry : kTests) {
    if (entry.name == name) return entry.function;
  }
  return nullptr;
}

Filter find_filter(std::string_view name) {
  for (const FilterEntry* table : {kTextFilters, kSequenceFilters, kSelectionFilters}) {
    for (const FilterEntry* entry = table; !entry->name.empty(); ++entry) {
      if (entry->name == name) return entry->function;
    }
  }
  return nullptr;
}

}  // namespace saccade::jinja
