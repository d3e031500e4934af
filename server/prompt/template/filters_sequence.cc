// Filters over sequences and mappings.

#include <algorithm>
#include <unordered_set>

#include "server/prompt/template/arguments.h"
#include "server/prompt/template/attribute_getter.h"
#include "server/prompt/template/attributes.h"
#include "server/prompt/template/filters.h"
#include "server/prompt/template/interpreter.h"
#include "server/prompt/template/text_functions.h"
#include "server/prompt/template/unicode.h"

namespace saccade::jinja {

AttributeGetter::AttributeGetter(Interpreter& interpreter, const Value* attribute,
                                 std::optional<Value> fallback)
    : interpreter_(&interpreter), fallback_(std::move(fallback)) {
  if (attribute == nullptr || attribute->is_none()) return;
  if (!attribute->is_string()) {
    path_.push_back(*attribute);
    return;
  }
  const MarkedText dot(".", false);
  for (const MarkedText& part : split(interpreter, attribute->text(), &dot, -1, false)) {
    const bool digits = !part.empty() && part.size() < 18 &&
                        part.view().find_first_not_of("0123456789") == std::string_view::npos;
    path_.push_back(digits ? Value::integer(std::stoll(part.bytes())) : Value::string(part));
  }
}

Value AttributeGetter::operator()(const Value& item) const {
  Value value = item;
  for (const Value& step : path_) {
    value = get_item(*interpreter_, value, step);
    if (fallback_ && value.is_undefined()) value = *fallback_;
  }
  return value;
}

Value fold_case(Interpreter& interpreter, const Value& value) {
  if (!value.is_string()) return value;
  interpreter.budget().charge_bytes(value.text().size());
  return Value::string(map_case(value.text(), CaseMapping::kLower));
}

namespace {

using Call = const Arguments&;

std::vector<Value> to_vector(Interpreter& interpreter, const Value& value) {
  std::vector<Value> items;
  Cursor cursor(interpreter, value);
  for (Value item; cursor.next(item);) items.push_back(item);
  return items;
}

Value length_filter(Interpreter&, const Value& value, Call call) {
  const Parameters none("length", call, {});
  return Value::integer(length(value));
}

Value default_filter(Interpreter&, const Value& value, Call call) {
  const Parameters given("default", call, {"default_value", "boolean"});
  if (!value.is_undefined() && !(given.flag(1) && !truthy(value))) return value;
  return given.has(0) ? *given[0] : Value::string("");
}

Value first(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters none("first", call, {});
  Cursor cursor(interpreter, value);
  Value item;
  if (cursor.next(item)) return item;
  return Value::undefined("No first item, sequence was empty.");
}

Value last(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters none("last", call, {});
  if (value.is(Kind::kIterator)) throw TemplateError("'generator' object is not reversible");
  const Value empty = Value::undefined("No last item, sequence was empty.");
  if (value.is_undefined()) return empty;
  if (value.is_string() || value.is_sequence() || value.is(Kind::kRange)) {
    return length(value) == 0 ? empty : get_item(interpreter, value, Value::integer(-1));
  }
  const std::vector<Value> items = to_vector(interpreter, value);
  return items.empty() ? empty : items.back();
}

Value list(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters none("list", call, {});
  if (value.is(Kind::kList)) return value;
  return Value::list(to_vector(interpreter, value));
}

Value join_filter(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("join", call, {"d", "attribute"});
  const AttributeGetter getter(interpreter, given[1]);
  const MarkedText separator = given.has(0) ? to_text(interpreter, *given[0]) : MarkedText();
  std::vector<MarkedText> parts;
  Cursor cursor(interpreter, value);
  for (Value item; cursor.next(item);) parts.push_back(to_text(interpreter, getter(item)));
  return Value::string(join(interpreter, separator, parts));
}

Value reverse_filter(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters none("reverse", call, {});
  if (value.is_string()) {
    interpreter.budget().charge_bytes(value.text().size());
    return Value::string(reverse(value.text()), value.is_markup());
  }
  std::vector<Value> items = to_vector(interpreter, value);
  std::reverse(items.begin(), items.end());
  if (value.is(Kind::kIterator)) return Value::list(std::move(items));
  const Value reversed = Value::list(std::move(items));
  auto position = std::make_shared<size_t>(0);
  return Value::iterator("reversed", reversed, [reversed, position](Value& out) {
    if (*position >= reversed.items().size()) return false;
    out = reversed.items()[(*position)++];
    return true;
  });
}

Value items_filter(Interpreter&, const Value& value, Call call) {
  const Parameters none("items", call, {});
  auto position = std::make_shared<size_t>(0);
  return Value::iterator("generator", value, [value, position](Value& out) {
    if (value.is_undefined()) return false;
    if (!value.is(Kind::kDict)) throw TemplateError("Can only get item pairs from a mapping.");
    if (*position >= value.dict().entries.size()) return false;
    const auto& [key, item] = value.dict().entries[(*position)++];
    out = Value::tuple({key, item});
    return true;
  });
}

struct Keyed {
  Value key;
  Value item;
};

void sort_by_key(Interpreter& interpreter, std::vector<Keyed>& items, bool reverse) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    interpreter.budget().charge(std::min(a.key.weight(), b.key.weight()));
    return reverse ? ordered(CompareOp::kLt, b.key, a.key) : ordered(CompareOp::kLt, a.key, b.key);
  });
}

Value dict_sort(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("dictsort", call, {"case_sensitive", "by", "reverse"});
  const std::string_view by = given.has(1) ? given.string(1).bytes() : "key";
  if (by != "key" && by != "value") {
    throw TemplateError("You can only sort by either \"key\" or \"value\"");
  }
  if (!value.is(Kind::kDict)) {
    refuse_undefined(value);
    throw TemplateError("dictsort needs a mapping");
  }
  std::vector<Keyed> items;
  for (const auto& [key, item] : value.dict().entries) {
    const Value& sort_key = by == "key" ? key : item;
    items.push_back(
        {given.flag(0) ? sort_key : fold_case(interpreter, sort_key), Value::tuple({key, item})});
  }
  sort_by_key(interpreter, items, given.flag(2));
  std::vector<Value> out;
  for (Keyed& item : items) out.push_back(std::move(item.item));
  return Value::list(std::move(out));
}

// One key of each attribute in "a,b.c", as a list.
std::vector<AttributeGetter> sort_getters(Interpreter& interpreter, const Value* attribute) {
  std::vector<AttributeGetter> out;
  if (attribute == nullptr || !attribute->is_string()) {
    out.emplace_back(interpreter, attribute);
    return out;
  }
  const MarkedText comma(",", false);
  for (MarkedText& part : split(interpreter, attribute->text(), &comma, -1, false)) {
    const Value path = Value::string(std::move(part));
    out.emplace_back(interpreter, &path);
  }
  return out;
}

Value sort_filter(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("sort", call, {"reverse", "case_sensitive", "attribute"});
  const auto getters = sort_getters(interpreter, given[2]);
  std::vector<Keyed> items;
  Cursor cursor(interpreter, value);
  for (Value item; cursor.next(item);) {
    std::vector<Value> key;
    for (const AttributeGetter& getter : getters) {
      const Value part = getter(item);
      key.push_back(given.flag(1) ? part : fold_case(interpreter, part));
    }
    items.push_back({Value::list(std::move(key)), item});
  }
  sort_by_key(interpreter, items, given.flag(0));
  std::vector<Value> out;
  for (Keyed& item : items) out.push_back(std::move(item.item));
  return Value::list(std::move(out));
}

// Keys seen so far; strings by hash, others by comparison.
class SeenKeys {
 public:
  bool insert(Interpreter& interpreter, const Value& key) {
    if (key.is_string()) return strings_.insert(key.text().bytes()).second;
    require_hashable(key);
    interpreter.budget().charge(others_.size() * key.weight() / 8);
    for (const Value& other : others_) {
      if (equals(other, key)) return false;
    }
    others_.push_back(key);
    return true;
  }

 private:
  std::unordered_set<std::string> strings_;
  std::vector<Value> others_;
};

Value unique(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("unique", call, {"case_sensitive", "attribute"});
  const AttributeGetter getter(interpreter, given[1]);
  const bool case_sensitive = given.flag(0);
  auto seen = std::make_shared<SeenKeys>();
  auto cursor = std::make_shared<std::optional<Cursor>>();
  return Value::iterator(
      "generator", value, [&interpreter, value, getter, case_sensitive, seen, cursor](Value& out) {
        if (!*cursor) cursor->emplace(interpreter, value);
        while ((*cursor)->next(out)) {
          const Value key = getter(out);
          if (seen->insert(interpreter, case_sensitive ? key : fold_case(interpreter, key))) {
            return true;
          }
        }
        return false;
      });
}

template <CompareOp wins>
Value extreme(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("min", call, {"case_sensitive", "attribute"});
  const AttributeGetter getter(interpreter, given[1]);
  const auto key_of = [&](const Value& item) {
    const Value key = getter(item);
    return given.flag(0) ? key : fold_case(interpreter, key);
  };
  Cursor cursor(interpreter, value);
  Value best;
  if (!cursor.next(best)) return Value::undefined("No aggregated item, sequence was empty.");
  Value best_key = key_of(best);
  for (Value item; cursor.next(item);) {
    Value key = key_of(item);
    if (!ordered(wins, key, best_key)) continue;
    best = item;
    best_key = std::move(key);
  }
  return best;
}

Value sum(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("sum", call, {"attribute", "start"});
  const AttributeGetter getter(interpreter, given[0]);
  Value total = given.has(1) ? *given[1] : Value::integer(0);
  if (total.is_string()) throw TemplateError("sum() can't sum strings");
  Cursor cursor(interpreter, value);
  for (Value item; cursor.next(item);) {
    total = binary(interpreter, BinaryOp::kAdd, total, getter(item));
  }
  return total;
}

Value batch(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("batch", call, {"linecount", "fill_with"}, 1);
  const int64_t size = given.integer(0, 1);
  const Value* fill = given.unless_none(1);
  std::vector<Value> batches;
  std::vector<Value> current;
  for (Value& item : to_vector(interpreter, value)) {
    if (static_cast<int64_t>(current.size()) == size) {
      batches.push_back(Value::list(std::move(current)));
      current.clear();
    }
    current.push_back(std::move(item));
  }
  if (!current.empty()) {
    if (fill != nullptr && size > static_cast<int64_t>(current.size())) {
      interpreter.budget().charge(static_cast<uint64_t>(size));
      current.resize(static_cast<size_t>(size), *fill);
    }
    batches.push_back(Value::list(std::move(current)));
  }
  return Value::iterator("generator", Value::list(batches),
                         [batches, i = size_t{0}](Value& out) mutable {
                           if (i >= batches.size()) return false;
                           out = batches[i++];
                           return true;
                         });
}

Value slice(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("slice", call, {"slices", "fill_with"}, 1);
  const int64_t slices = given.integer(0, 1);
  const Value* fill = given.unless_none(1);
  const std::vector<Value> items = to_vector(interpreter, value);
  if (slices == 0) throw TemplateError("integer division or modulo by zero");
  interpreter.budget().charge(slices > 0 ? static_cast<uint64_t>(slices) : 0);
  const int64_t size = static_cast<int64_t>(items.size());
  std::vector<Value> out;
  int64_t begin = 0;
  for (int64_t i = 0; i < slices; ++i) {
    const bool extra = i < size % slices;
    const int64_t end = begin + size / slices + (extra ? 1 : 0);
    std::vector<Value> part(items.begin() + begin, items.begin() + end);
    if (fill != nullptr && !extra) part.push_back(*fill);
    out.push_back(Value::list(std::move(part)));
    begin = end;
  }
  return Value::iterator("generator", Value::list(out),
                         [out, i = size_t{0}](Value& result) mutable {
                           if (i >= out.size()) return false;
                           result = out[i++];
                           return true;
                         });
}

Value group_by(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("groupby", call, {"attribute", "default", "case_sensitive"}, 1);
  std::optional<Value> fallback;
  if (const Value* present = given.unless_none(1)) fallback = *present;
  const AttributeGetter getter(interpreter, given[0], fallback);
  std::vector<Keyed> items;
  Cursor cursor(interpreter, value);
  for (Value item; cursor.next(item);) {
    const Value key = getter(item);
    items.push_back({given.flag(2) ? key : fold_case(interpreter, key), item});
  }
  sort_by_key(interpreter, items, false);
  std::vector<Value> groups;
  for (size_t i = 0; i < items.size();) {
    std::vector<Value> members;
    const size_t first_member = i;
    for (; i < items.size() && equals(items[i].key, items[first_member].key); ++i) {
      members.push_back(items[i].item);
    }
    if (i == first_member) members.push_back(items[i++].item);  // a key unequal to itself: nan
    Value grouper = getter(members[0]);
    groups.push_back(Value::group(std::move(grouper), Value::list(std::move(members))));
  }
  return Value::list(std::move(groups));
}

}  // namespace

const FilterEntry kSequenceFilters[] = {
    {"length", length_filter},
    {"count", length_filter},
    {"default", default_filter},
    {"d", default_filter},
    {"first", first},
    {"last", last},
    {"list", list},
    {"join", join_filter},
    {"reverse", reverse_filter},
    {"items", items_filter},
    {"dictsort", dict_sort},
    {"sort", sort_filter},
    {"unique", unique},
    {"min", extreme<CompareOp::kLt>},
    {"max", extreme<CompareOp::kGt>},
    {"sum", sum},
    {"batch", batch},
    {"slice", slice},
    {"groupby", group_by},
    {"", nullptr},
};

}  // namespace saccade::jinja
