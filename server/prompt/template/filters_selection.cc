// map, select, reject and their attribute forms: generators over other filters and tests.

#include "server/prompt/template/arguments.h"
#include "server/prompt/template/attribute_getter.h"
#include "server/prompt/template/attributes.h"
#include "server/prompt/template/filters.h"
#include "server/prompt/template/interpreter.h"

namespace saccade::jinja {
namespace {

using Call = const Arguments&;

// Arguments behind the first `skip` positional ones.
Arguments behind(Call call, size_t skip) {
  Arguments out;
  out.named = call.named;
  if (call.positional.size() > skip) {
    out.positional.assign(call.positional.begin() + static_cast<int64_t>(skip),
                          call.positional.end());
  }
  return out;
}

std::string_view name_of(const Value& value) {
  if (!value.is_string()) throw TemplateError("a filter or test is named by a string");
  return value.bytes();
}

using Transform = std::function<Value(const Value&)>;

Transform map_by_attribute(Interpreter& interpreter, Call call) {
  const Value* attribute = nullptr;
  std::optional<Value> fallback;
  for (const auto& [name, value] : call.named) {
    if (name == "attribute") {
      attribute = &value;
    } else if (name == "default") {
      if (!value.is_none()) fallback = value;
    } else {
      throw TemplateError("Unexpected keyword argument '" + name + "'");
    }
  }
  if (attribute == nullptr) throw TemplateError("map requires a filter argument");
  return AttributeGetter(interpreter, attribute, fallback);
}

Transform make_transform(Interpreter& interpreter, Call call) {
  if (call.positional.empty()) return map_by_attribute(interpreter, call);
  const std::string name(name_of(call.positional[0]));
  const Filter filter = find_filter(name);
  if (filter == nullptr) throw TemplateError("No filter named '" + name + "'.");
  return [&interpreter, filter, rest = behind(call, 1)](const Value& item) {
    return filter(interpreter, item, rest);
  };
}

Value map(Interpreter& interpreter, const Value& value, Call call) {
  struct State {
    Transform transform;
    std::optional<Cursor> cursor;
  };
  auto state = std::make_shared<State>();
  return Value::iterator(
      "generator", value,
      [&interpreter, value, call, state](Value& out) {
        if (!state->cursor) {
          if (!truthy(value)) return false;
          state->transform = make_transform(interpreter, call);
          state->cursor.emplace(interpreter, value);
        }
        Value item;
        if (!state->cursor->next(item)) return false;
        out = state->transform(item);
        return true;
      },
      &call);
}

using Predicate = std::function<bool(const Value&)>;

Predicate make_predicate(Interpreter& interpreter, Call call, bool by_attribute) {
  const size_t offset = by_attribute ? 1 : 0;
  if (call.positional.size() < offset) {
    throw TemplateError("Missing parameter for attribute name");
  }
  const AttributeGetter getter(interpreter, by_attribute ? &call.positional[0] : nullptr);
  if (call.positional.size() == offset) {
    return [getter](const Value& item) { return truthy(getter(item)); };
  }
  const std::string name(name_of(call.positional[offset]));
  const Test test = find_test(name);
  if (test == nullptr) throw TemplateError("No test named '" + name + "'.");
  return [&interpreter, getter, test, rest = behind(call, offset + 1)](const Value& item) {
    return test(interpreter, getter(item), rest);
  };
}

template <bool by_attribute, bool keep>
Value select(Interpreter& interpreter, const Value& value, Call call) {
  struct State {
    Predicate predicate;
    std::optional<Cursor> cursor;
  };
  auto state = std::make_shared<State>();
  return Value::iterator(
      "generator", value,
      [&interpreter, value, call, state](Value& out) {
        if (!state->cursor) {
          if (!truthy(value)) return false;
          state->predicate = make_predicate(interpreter, call, by_attribute);
          state->cursor.emplace(interpreter, value);
        }
        while (state->cursor->next(out)) {
          if (state->predicate(out) == keep) return true;
        }
        return false;
      },
      &call);
}

Value attr(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("attr", call, {"name"}, 1);
  refuse_undefined(value);
  const std::string_view name = given.string(0).bytes();
  const Value undefined = Value::undefined("there is no attribute '" + std::string(name) + "'");
  const bool is_item = value.is(Kind::kDict) && find_method(value, name) == nullptr;
  return is_item ? undefined : get_attribute(interpreter, value, name, undefined);
}

}  // namespace

const FilterEntry kSelectionFilters[] = {
    {"map", map},
    {"select", select<false, true>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<true, false>},
    {"attr", attr},
    {"", nullptr},
};

}  // namespace saccade::jinja
