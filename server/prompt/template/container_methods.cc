// Methods of list, tuple, dict and the numbers.

#include <cmath>

#include "server/prompt/template/arguments.h"
#include "server/prompt/template/attributes.h"
#include "server/prompt/template/interpreter.h"

namespace saccade::jinja {
namespace {

using Call = const Arguments&;

Value count_value(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("count", call, {"value"}, 1);
  interpreter.budget().charge(self.weight());
  int64_t found = 0;
  for (const Value& item : self.items()) found += equals(item, *given[0]);
  return Value::integer(found);
}

Value index(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("index", call, {"value", "start", "stop"}, 1);
  interpreter.budget().charge(self.weight());
  const int64_t size = static_cast<int64_t>(self.items().size());
  const auto clamp = [size](int64_t at) { return at < 0 ? std::max<int64_t>(at + size, 0) : at; };
  const int64_t stop = std::min(clamp(given.integer(2, size)), size);
  for (int64_t i = clamp(given.integer(1, 0)); i < stop; ++i) {
    if (equals(self.items()[static_cast<size_t>(i)], *given[0])) return Value::integer(i);
  }
  throw TemplateError("the value is not in the list");
}

// Where an integer (or an equal float) stands in a range, or -1.
int64_t position_in(const RangeObject& range, const Value& value) {
  if (!value.is_number()) return -1;
  const double real = value.as_double();
  if (value.is(Kind::kFloat) && (real != std::floor(real) || std::fabs(real) > 9e15)) return -1;
  const int64_t wanted = value.is(Kind::kFloat) ? static_cast<int64_t>(real) : value.as_int();
  for (int64_t i = 0; i < range.length; ++i) {
    if (range.at(i) == wanted) return i;
  }
  return -1;
}

Value range_count(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("count", call, {"value"}, 1);
  interpreter.budget().charge(static_cast<uint64_t>(self.range().length));
  return Value::integer(position_in(self.range(), *given[0]) >= 0 ? 1 : 0);
}

Value range_index(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("index", call, {"value"}, 1);
  interpreter.budget().charge(static_cast<uint64_t>(self.range().length));
  const int64_t position = position_in(self.range(), *given[0]);
  if (position < 0) throw TemplateError("the value is not in the range");
  return Value::integer(position);
}

Value copy(Interpreter&, const Value& self, Call call) {
  const Parameters none("copy", call, {});
  return self;  // nothing can change it
}

Value keys(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters none("keys", call, {});
  interpreter.budget().charge(self.dict().entries.size());
  std::vector<Value> items;
  for (const Entry& entry : self.dict().entries) items.push_back(entry.first);
  return Value::view("dict_keys", std::move(items));
}

Value values(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters none("values", call, {});
  interpreter.budget().charge(self.dict().entries.size());
  std::vector<Value> items;
  for (const Entry& entry : self.dict().entries) items.push_back(entry.second);
  return Value::view("dict_values", std::move(items));
}

Value items(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters none("items", call, {});
  interpreter.budget().charge(self.dict().entries.size());
  std::vector<Value> out;
  for (const auto& [key, value] : self.dict().entries) out.push_back(Value::tuple({key, value}));
  return Value::view("dict_items", std::move(out));
}

Value get(Interpreter&, const Value& self, Call call) {
  if (!call.named.empty()) throw TemplateError("dict.get() takes no keyword arguments");
  const Parameters given("get", call, {"key", "default"}, 1);
  require_hashable(*given[0]);
  const Value* found = self.dict().find(*given[0]);
  if (found != nullptr) return *found;
  return given.has(1) ? *given[1] : Value::none();
}

Value is_integer(Interpreter&, const Value& self, Call call) {
  const Parameters none("is_integer", call, {});
  const double value = self.as_double();
  return Value::boolean(std::isfinite(value) && value == std::floor(value));
}

Value bit_length(Interpreter&, const Value& self, Call call) {
  const Parameters none("bit_length", call, {});
  uint64_t magnitude = static_cast<uint64_t>(self.as_int());
  if (self.as_int() < 0) magnitude = 0 - magnitude;
  return Value::integer(magnitude == 0 ? 0 : 64 - __builtin_clzll(magnitude));
}

}  // namespace

const MethodEntry kListMethods[] = {
    {"count", count_value},
    {"index", index},
    {"copy", copy},
    {"", nullptr},
};

const MethodEntry kTupleMethods[] = {
    {"count", count_value},
    {"index", index},
    {"", nullptr},
};

const MethodEntry kRangeMethods[] = {
    {"count", range_count},
    {"index", range_index},
    {"", nullptr},
};

const MethodEntry kDictMethods[] = {
    {"items", items}, {"keys", keys}, {"values", values},
    {"get", get},     {"copy", copy}, {"", nullptr},
};

const MethodEntry kFloatMethods[] = {
    {"is_integer", is_integer},
    {"", nullptr},
};

const MethodEntry kIntMethods[] = {
    {"bit_length", bit_length},
    {"", nullptr},
};

}  // namespace saccade::jinja
