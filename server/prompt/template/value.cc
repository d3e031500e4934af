#include "server/prompt/template/value.h"

#include <algorithm>

#include "server/prompt/template/operators.h"

namespace saccade::jinja {
namespace {

constexpr size_t kIndexFrom = 12;  // entries; below that a scan is as fast

// Depth and weight of a container around its parts.
struct Extent {
  int depth = 0;
  uint64_t weight = 1;

  void add(const Value& part) {
    depth = std::max(depth, part.depth());
    weight += part.weight();
    if (depth >= kMaxValueDepth) throw TemplateError("values are nested too deeply");
    if (weight > kMaxValueWeight) throw TemplateError("a value is too large");
  }
};

Value sequence_value(Kind kind, std::vector<Value> items, std::string_view name) {
  Extent extent;
  for (const Value& item : items) extent.add(item);
  return Value::object(kind, std::make_shared<SequenceObject>(std::move(items), extent.depth + 1,
                                                              extent.weight, name));
}

}  // namespace

void require_hashable(const Value& key) {
  switch (key.kind()) {
    case Kind::kList:
    case Kind::kDict:
    case Kind::kView:
      throw TemplateError("unhashable type: '" + std::string(type_name(key)) + "'");
    case Kind::kTuple:
      for (const Value& item : key.items()) require_hashable(item);
      return;
    default:
      return;
  }
}

Value Value::boolean(bool value, bool from_user) {
  Value out(Kind::kBool);
  out.integer_ = value;
  out.number_from_user_ = from_user;
  return out;
}

Value Value::integer(int64_t value, bool from_user) {
  Value out(Kind::kInt);
  out.integer_ = value;
  out.number_from_user_ = from_user;
  return out;
}

Value Value::real(double value, bool from_user) {
  Value out(Kind::kFloat);
  out.real_ = value;
  out.number_from_user_ = from_user;
  return out;
}

Value Value::string(MarkedText text, bool markup) {
  return object(Kind::kString, std::make_shared<StringObject>(std::move(text), markup));
}

Value Value::string(std::string_view text, bool from_user) {
  return string(MarkedText(std::string(text), from_user));
}

Value Value::list(std::vector<Value> items) {
  return sequence_value(Kind::kList, std::move(items), "list");
}

Value Value::tuple(std::vector<Value> items) {
  return sequence_value(Kind::kTuple, std::move(items), "tuple");
}

Value Value::group(Value grouper, Value items) {
  return sequence_value(Kind::kTuple, {std::move(grouper), std::move(items)}, "group");
}

Value Value::view(std::string_view name, std::vector<Value> items) {
  return sequence_value(Kind::kView, std::move(items), name);
}

Value Value::dict(std::vector<Entry> entries) {
  Extent extent;
  for (const Entry& entry : entries) {
    if (!entry.first.is_string()) require_hashable(entry.first);
    extent.add(entry.first);
    extent.add(entry.second);
  }
  return object(Kind::kDict,
                std::make_shared<DictObject>(std::move(entries), extent.depth + 1, extent.weight));
}

Value Value::range(int64_t start, int64_t stop, int64_t step) {
  return object(Kind::kRange, std::make_shared<RangeObject>(start, stop, step));
}

Value Value::undefined(std::string message) {
  return object(Kind::kUndefined, std::make_shared<UndefinedObject>(std::move(message), false));
}

Value Value::poison(std::string message) {
  return object(Kind::kUndefined, std::make_shared<UndefinedObject>(std::move(message), true));
}

Value Value::iterator(std::string_view name, const Value& source, std::function<bool(Value&)> next,
                      const Arguments* arguments) {
  Extent extent;
  extent.add(source);
  if (arguments != nullptr) {
    for (const Value& value : arguments->positional) extent.add(value);
    for (const auto& named : arguments->named) extent.add(named.second);
  }
  return object(Kind::kIterator,
                std::make_shared<IteratorObject>(extent.depth + 1, name, std::move(next)));
}

Value Value::object(Kind kind, std::shared_ptr<Object> object) {
  Value out(kind);
  out.object_ = std::move(object);
  return out;
}

Value Value::big_integer(uint64_t value, bool from_user) {
  Value out = real(static_cast<double>(value), from_user);
  out.object_ = std::make_shared<StringObject>(MarkedText(std::to_string(value), from_user), false);
  return out;
}

const MarkedText* Value::literal() const {
  if (kind_ != Kind::kFloat || object_ == nullptr) return nullptr;
  return &static_cast<const StringObject&>(*object_).text;
}

const MarkedText& Value::text() const { return static_cast<const StringObject&>(*object_).text; }
bool Value::is_markup() const {
  return is_string() && static_cast<const StringObject&>(*object_).markup;
}
const std::vector<Value>& Value::items() const { return sequence().items; }
const SequenceObject& Value::sequence() const {
  return static_cast<const SequenceObject&>(*object_);
}
const DictObject& Value::dict() const { return static_cast<const DictObject&>(*object_); }
const RangeObject& Value::range() const { return static_cast<const RangeObject&>(*object_); }
IteratorObject& Value::as_iterator() const { return static_cast<IteratorObject&>(*object_); }
NamespaceObject& Value::name_space() const { return static_cast<NamespaceObject&>(*object_); }
CallableObject& Value::callable() const { return static_cast<CallableObject&>(*object_); }
const UndefinedObject* Value::undefined_info() const {
  return static_cast<const UndefinedObject*>(object_.get());
}

DictObject::DictObject(std::vector<Entry> list, int depth, uint64_t weight)
    : Object(depth, weight) {
  entries.reserve(list.size());
  const bool indexed = list.size() >= kIndexFrom;
  for (Entry& entry : list) {
    const Value* present = find(entry.first);
    if (present != nullptr) {
      const_cast<Value&>(*present) = std::move(entry.second);
      continue;
    }
    entries.push_back(std::move(entry));
    if (indexed && entries.back().first.is_string()) {
      index_.emplace(entries.back().first.bytes(), entries.size() - 1);
    }
  }
}

const Value* DictObject::find(std::string_view key) const {
  if (!index_.empty()) {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &entries[found->second].second;
  }
  for (const Entry& entry : entries) {
    if (entry.first.is_string() && entry.first.bytes() == key) return &entry.second;
  }
  return nullptr;
}

const Value* DictObject::find(const Value& key) const {
  if (key.is_string()) return find(key.bytes());
  for (const Entry& entry : entries) {
    if (!entry.first.is_string() && equals(entry.first, key)) return &entry.second;
  }
  return nullptr;
}

RangeObject::RangeObject(int64_t first, int64_t end, int64_t by)
    : start(first), stop(end), step(by), length(0) {
  // Distances fit an unsigned word whatever the signs.
  if (step > 0 && start < stop) {
    const uint64_t distance = static_cast<uint64_t>(stop) - static_cast<uint64_t>(start) - 1;
    length = static_cast<int64_t>(distance / static_cast<uint64_t>(step)) + 1;
  } else if (step < 0 && start > stop) {
    const uint64_t distance = static_cast<uint64_t>(start) - static_cast<uint64_t>(stop) - 1;
    length = static_cast<int64_t>(distance / (0 - static_cast<uint64_t>(step))) + 1;
  }
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kRange:
      return "range";
    case Kind::kView:
      return value.sequence().name;
    case Kind::kIterator:
      return value.as_iterator().name;
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kCallable:
      return "function";
  }
  return "object";
}

}  // namespace saccade::jinja
