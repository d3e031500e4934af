#pragma once

// Values of the template language: Python's, as far as chat templates reach.

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "server/prompt/template/marked_text.h"

namespace saccade::jinja {

// Thrown inside the interpreter only; ChatTemplate turns it into a Status. `line` 0: not known yet.
struct TemplateError : std::runtime_error {
  explicit TemplateError(const std::string& message, int line_number = 0)
      : std::runtime_error(message), line(line_number) {}
  int line;
  bool raised = false;  // by the template itself: raise_exception(message)
};

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,      // dict.keys(), .values(), .items(): iterable, not indexable
  kIterator,  // generators: consumed once
  kNamespace,
  kCallable
};

// Containers nested deeper than this are refused, so that no recursion over a value is deep.
constexpr int kMaxValueDepth = 200;
// A value that shares its parts ([x, x] of [y, y] of ...) may be far larger to walk than to hold.
// Containers heavier than this are refused, so that printing or comparing one always ends.
constexpr uint64_t kMaxValueWeight = uint64_t{1} << 24;
constexpr uint64_t kBytesPerWeight = 64;

struct Object {
  explicit Object(int object_depth = 0, uint64_t object_weight = 1)
      : depth(object_depth), weight(object_weight) {}
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
  const int depth;        // levels of containers below and including this one
  const uint64_t weight;  // what walking it costs: its values, shared ones counted each time
};

struct StringObject;
struct SequenceObject;
struct DictObject;
struct RangeObject;
struct UndefinedObject;
struct IteratorObject;
struct NamespaceObject;
struct CallableObject;
struct Arguments;

// Immutable and cheap to copy; containers are shared.
class Value {
 public:
  Value() = default;  // undefined

  static Value none() { return Value(Kind::kNone); }
  static Value boolean(bool value, bool from_user = false);
  static Value integer(int64_t value, bool from_user = false);
  static Value real(double value, bool from_user = false);
  static Value string(MarkedText text, bool markup = false);
  static Value string(std::string_view text, bool from_user = false);
  static Value list(std::vector<Value> items);
  static Value tuple(std::vector<Value> items);
  static Value group(Value grouper, Value items);  // a tuple with .grouper and .list
  static Value view(std::string_view name, std::vector<Value> items);
  // Later entries win, as in a Python literal; throws for unhashable keys.
  static Value dict(std::vector<std::pair<Value, Value>> entries);
  static Value range(int64_t start, int64_t stop, int64_t step);
  // Prints empty and throws `message` when used otherwise.
  static Value undefined(std::string message);
  // Throws `message` whatever is done with it.
  static Value poison(std::string message);
  // A generator over `next`, which sets its argument or returns false at the end. `source` and
  // `arguments` (may be null) are what it draws from.
  static Value iterator(std::string_view name, const Value& source,
                        std::function<bool(Value&)> next, const Arguments* arguments = nullptr);
  // An integer beyond 64 signed bits: a float that prints all its digits.
  static Value big_integer(uint64_t value, bool from_user);
  static Value object(Kind kind, std::shared_ptr<Object> object);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_integral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool is_number() const { return is_integral() || kind_ == Kind::kFloat; }
  bool is_sequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }

  bool as_bool() const { return integer_ != 0; }
  int64_t as_int() const { return integer_; }  // kInt and kBool
  double as_double() const {                   // any number
    return kind_ == Kind::kFloat ? real_ : static_cast<double>(integer_);
  }
  const MarkedText& text() const;
  std::string_view bytes() const { return text().view(); }
  bool is_markup() const;
  const std::vector<Value>& items() const;  // kList, kTuple, kView
  const SequenceObject& sequence() const;
  const DictObject& dict() const;
  const RangeObject& range() const;
  IteratorObject& as_iterator() const;
  NamespaceObject& name_space() const;
  CallableObject& callable() const;
  // For kUndefined: the message to throw; null when there is none.
  const UndefinedObject* undefined_info() const;

  // The digits of a big_integer; null for every other float.
  const MarkedText* literal() const;

  // Scalars carry the mark of the data they came from; strings carry it per byte.
  bool number_from_user() const { return number_from_user_; }
  int depth() const { return object_ ? object_->depth : 0; }
  uint64_t weight() const { return object_ ? object_->weight : 1; }
  const Object* identity() const { return object_.get(); }

 private:
  explicit Value(Kind kind) : kind_(kind) {}

  Kind kind_ = Kind::kUndefined;
  bool number_from_user_ = false;
  union {
    int64_t integer_ = 0;
    double real_;
  };
  std::shared_ptr<Object> object_;
};

struct StringObject : Object {
  StringObject(MarkedText marked, bool is_markup)
      : Object(0, 1 + marked.size() / kBytesPerWeight),
        text(std::move(marked)),
        markup(is_markup) {}
  const MarkedText text;
  const bool markup;  // result of `escape` or `safe`: `+` escapes what is joined to it
};

struct SequenceObject : Object {
  SequenceObject(std::vector<Value> values, int depth, uint64_t weight, std::string_view kind_name)
      : Object(depth, weight), items(std::move(values)), name(kind_name) {}
  const std::vector<Value> items;
  const std::string_view name;  // "dict_items" ... for views, "group" for groupby's tuples
};

using Entry = std::pair<Value, Value>;

// Insertion-ordered mapping; an index by string key when it is large.
struct DictObject : Object {
  DictObject(std::vector<Entry> list, int depth, uint64_t weight);
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  std::vector<Entry> entries;

 private:
  std::unordered_map<std::string_view, size_t> index_;
};

struct RangeObject : Object {
  RangeObject(int64_t first, int64_t end, int64_t by);
  int64_t at(int64_t i) const { return start + i * step; }
  const int64_t start, stop, step;
  int64_t length;
};

struct UndefinedObject : Object {
  UndefinedObject(std::string text, bool poisonous) : message(std::move(text)), poison(poisonous) {}
  const std::string message;
  const bool poison;
};

struct IteratorObject : Object {
  IteratorObject(int depth, std::string_view type_name, std::function<bool(Value&)> step)
      : Object(depth), name(type_name), next(std::move(step)) {}
  const std::string_view name;
  std::function<bool(Value&)> next;  // false at the end
};

struct NamespaceObject : Object {
  std::vector<std::pair<std::string, Value>> attributes;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Interpreter;

struct CallableObject : Object {
  explicit CallableObject(std::string function_name, int depth = 0)
      : Object(depth), name(std::move(function_name)) {}
  virtual Value call(Interpreter& interpreter, const Arguments& arguments) = 0;
  // Attribute of the callable itself (loop.index, macro.name); undefined when it has none.
  virtual Value attribute(Interpreter&, std::string_view) { return Value(); }
  virtual std::string repr(Interpreter&) { return "<function " + name + ">"; }
  const std::string name;
};

// Throws for what cannot be a key of a dict.
void require_hashable(const Value& key);

// Python's name of the type, for messages.
std::string_view type_name(const Value& value);

}  // namespace saccade::jinja
