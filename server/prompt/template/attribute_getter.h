#pragma once

#include <optional>
#include <vector>

#include "server/prompt/template/value.h"

namespace saccade::jinja {

// The attribute="a.b.0" of map, sort, groupby and others: a path of items below a value.
class AttributeGetter {
 public:
  // Null or None: the value itself. `fallback` stands in for undefined steps.
  AttributeGetter(Interpreter& interpreter, const Value* attribute,
                  std::optional<Value> fallback = std::nullopt);

  Value operator()(const Value& item) const;

 private:
  Interpreter* interpreter_;
  std::vector<Value> path_;
  std::optional<Value> fallback_;
};

// Lower case for strings, anything else as it is: the sort key when case does not matter.
Value fold_case(Interpreter& interpreter, const Value& value);

}  // namespace saccade::jinja
