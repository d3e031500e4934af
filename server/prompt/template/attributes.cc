#include "server/prompt/template/attributes.h"

#include <algorithm>
#include <optional>

#include "server/prompt/template/interpreter.h"
#include "server/prompt/template/operators.h"
#include "server/prompt/template/unicode.h"

namespace saccade::jinja {
namespace {

class BoundMethod : public CallableObject {
 public:
  BoundMethod(const Value& self, std::string_view name, Method method)
      : CallableObject(std::string(name), self.depth()), self_(self), method_(method) {}
  Value call(Interpreter& interpreter, const Arguments& arguments) override {
    return method_(interpreter, self_, arguments);
  }
  std::string repr(Interpreter&) override {
    return "<built-in method " + name + " of " + std::string(type_name(self_)) + " object>";
  }

 private:
  const Value self_;
  const Method method_;
};

const MethodEntry* methods_of(const Value& object) {
  switch (object.kind()) {
    case Kind::kString:
      return kStringMethods;
    case Kind::kList:
      return kListMethods;
    case Kind::kTuple:
      return kTupleMethods;
    case Kind::kRange:
      return kRangeMethods;
    case Kind::kDict:
      return kDictMethods;
    case Kind::kInt:
    case Kind::kBool:
      return kIntMethods;
    case Kind::kFloat:
      return kFloatMethods;
    default:
      return nullptr;
  }
}

// Methods that would change their object: the immutable sandbox hides them.
bool is_refused_method(const Value& object, std::string_view name) {
  static constexpr std::string_view kList[] = {"append", "clear", "pop",    "reverse",
                                               "insert", "sort",  "extend", "remove"};
  static constexpr std::string_view kDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  if (object.is(Kind::kList))
    return std::find(std::begin(kList), std::end(kList), name) != std::end(kList);
  if (object.is(Kind::kDict))
    return std::find(std::begin(kDict), std::end(kDict), name) != std::end(kDict);
  return false;
}

Value unsafe(const Value& object, std::string_view name) {
  return Value::undefined("access to attribute '" + std::string(name) + "' of '" +
                          std::string(type_name(object)) + "' object is unsafe.");
}

// What every Python object has; the sandbox hides it.
bool is_internal(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "__class__", "__doc__", "__init__",   "__dict__", "__len__",         "__str__",
      "__repr__",  "__eq__",  "__module__", "__iter__", "__getattribute__"};
  return name.starts_with("__") &&
         std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

std::optional<Value> find_attribute(Interpreter& interpreter, const Value& object,
                                    std::string_view name) {
  if (object.is(Kind::kNamespace)) {
    for (const auto& [key, value] : object.name_space().attributes) {
      if (key == name) return value;
    }
    return std::nullopt;
  }
  if (object.is(Kind::kCallable)) {
    Value value = object.callable().attribute(interpreter, name);
    if (!value.is_undefined() || value.undefined_info() != nullptr) return value;
    return std::nullopt;
  }
  if (object.is(Kind::kTuple) && object.sequence().name == "group") {
    if (name == "grouper") return object.items()[0];
    if (name == "list") return object.items()[1];
  }
  if (const Method method = find_method(object, name)) {
    return Value::object(Kind::kCallable, std::make_shared<BoundMethod>(object, name, method));
  }
  if (is_refused_method(object, name) || is_internal(name)) return unsafe(object, name);
  return std::nullopt;
}

const Value* dict_item(const Value& object, const Value& key) {
  if (!object.is(Kind::kDict)) return nullptr;
  return object.dict().find(key);
}

// Python's index rules; nothing when it is out of range.
std::optional<size_t> checked_index(int64_t index, int64_t size) {
  if (index < 0) index += size;
  if (index < 0 || index >= size) return std::nullopt;
  return static_cast<size_t>(index);
}

std::optional<Value> string_item(Interpreter& interpreter, const Value& object, int64_t index) {
  const MarkedText& text = object.text();
  interpreter.budget().charge(text.size() / kBytesPerWeight);
  if (is_ascii(text.view())) {
    const auto at = checked_index(index, static_cast<int64_t>(text.size()));
    if (!at) return std::nullopt;
    return Value::string(text.substr(*at, *at + 1), object.is_markup());
  }
  const auto offsets = code_point_offsets(text.view());
  const auto at = checked_index(index, static_cast<int64_t>(offsets.size()) - 1);
  if (!at) return std::nullopt;
  return Value::string(text.substr(offsets[*at], offsets[*at + 1]), object.is_markup());
}

std::optional<Value> find_item(Interpreter& interpreter, const Value& object, const Value& index) {
  if (object.is(Kind::kDict)) {
    const Value* found = dict_item(object, index);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (!index.is_integral()) return std::nullopt;
  if (object.is_string()) return string_item(interpreter, object, index.as_int());
  if (object.is_sequence()) {
    const auto at = checked_index(index.as_int(), static_cast<int64_t>(object.items().size()));
    return at ? std::optional<Value>(object.items()[*at]) : std::nullopt;
  }
  if (object.is(Kind::kRange)) {
    const auto at = checked_index(index.as_int(), object.range().length);
    if (at) return Value::integer(object.range().at(static_cast<int64_t>(*at)));
  }
  return std::nullopt;
}

}  // namespace

Method find_method(const Value& object, std::string_view name) {
  const MethodEntry* entry = methods_of(object);
  if (entry == nullptr) return nullptr;
  for (; !entry->name.empty(); ++entry) {
    if (entry->name == name) return entry->function;
  }
  return nullptr;
}

Value get_attribute(Interpreter& interpreter, const Value& object, std::string_view name,
                    const Value& undefined) {
  if (object.is_undefined()) {
    if (is_internal(name)) return unsafe(object, name);
    fail_undefined(object);
  }
  if (object.is(Kind::kDict)) {
    // The usual case: a key that is no method name.
    if (const Value* found = object.dict().find(name)) {
      if (find_method(object, name) == nullptr && !is_refused_method(object, name)) return *found;
    }
  }
  if (auto value = find_attribute(interpreter, object, name)) return *std::move(value);
  return undefined;
}

Value get_item(Interpreter& interpreter, const Value& object, const Value& index) {
  if (object.is_undefined()) fail_undefined(object);
  if (auto value = find_item(interpreter, object, index)) return *std::move(value);
  if (index.is_string()) {
    if (auto value = find_attribute(interpreter, object, index.bytes())) return *std::move(value);
  }
  return Value::undefined("'" + std::string(type_name(object)) + "' object has no such element");
}

namespace {

struct SliceRange {
  int64_t start, stop, step;
  int64_t count;
};

int64_t clamp_bound(const Value& bound, int64_t size, int64_t step, int64_t otherwise) {
  if (bound.is_none()) return otherwise;
  int64_t index = bound.as_int();
  const int64_t low = step < 0 ? -1 : 0;
  const int64_t high = step < 0 ? size - 1 : size;
  if (index < 0) index = index < -size ? low : std::max(index + size, low);
  return std::min(index, high);
}

// Nothing when a bound is not an integer.
std::optional<SliceRange> resolve_slice(const Value& start, const Value& stop, const Value& step,
                                        int64_t size) {
  for (const Value* bound : {&start, &stop, &step}) {
    if (!bound->is_none() && !bound->is_integral()) return std::nullopt;
  }
  SliceRange out{};
  out.step = step.is_none() ? 1 : step.as_int();
  if (out.step == 0) throw TemplateError("slice step cannot be zero");
  out.start = clamp_bound(start, size, out.step, out.step < 0 ? size - 1 : 0);
  out.stop = clamp_bound(stop, size, out.step, out.step < 0 ? -1 : size);
  out.count = RangeObject(out.start, out.stop, out.step).length;
  return out;
}

Value slice_string(Interpreter& interpreter, const Value& object, const SliceRange& slice,
                   const std::vector<size_t>& offsets) {
  const MarkedText& text = object.text();
  interpreter.budget().charge_bytes(text.size());
  MarkedText out;
  if (slice.count > 0 && slice.step == 1) {
    out.append(text, offsets[slice.start], offsets[slice.start + slice.count]);
  } else {
    int64_t at = slice.start;
    for (int64_t i = 0; i < slice.count; ++i, at += i < slice.count ? slice.step : 0) {
      out.append(text, offsets[at], offsets[at + 1]);
    }
  }
  return Value::string(std::move(out), object.is_markup());
}

}  // namespace

Value get_slice(Interpreter& interpreter, const Value& object, const Value& start,
                const Value& stop, const Value& step) {
  if (object.is_undefined()) fail_undefined(object);
  const bool sliceable = object.is_string() || object.is_sequence() || object.is(Kind::kRange);
  if (!sliceable) {
    throw TemplateError(std::string(type_name(object)) + " objects cannot be sliced");
  }
  std::vector<size_t> offsets;
  if (object.is_string()) offsets = code_point_offsets(object.bytes());
  const int64_t size =
      object.is_string() ? static_cast<int64_t>(offsets.size()) - 1 : length(object);
  const auto slice = resolve_slice(start, stop, step, size);
  if (!slice) throw TemplateError("slice indices must be integers or None");
  if (object.is_string()) return slice_string(interpreter, object, *slice, offsets);
  interpreter.budget().charge(static_cast<uint64_t>(slice->count));
  if (object.is(Kind::kRange)) {
    const RangeObject& range = object.range();
    int64_t by = 0;
    if (__builtin_mul_overflow(range.step, slice->step, &by)) {
      throw TemplateError("integer arithmetic does not fit 64 bits");
    }
    return Value::range(range.at(slice->start), range.at(slice->stop), by);
  }
  std::vector<Value> items;
  int64_t at = slice->start;
  for (int64_t i = 0; i < slice->count; ++i, at += i < slice->count ? slice->step : 0) {
    items.push_back(object.items()[static_cast<size_t>(at)]);
  }
  return object.is(Kind::kList) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

}  // namespace saccade::jinja
