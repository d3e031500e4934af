#pragma once

// object.name and object[index] with Jinja's rules, and the methods of Python's types.

#include <string_view>

#include "server/prompt/template/value.h"

namespace saccade::jinja {

using Method = Value (*)(Interpreter&, const Value& self, const Arguments&);

struct MethodEntry {
  std::string_view name;
  Method function;
};
extern const MethodEntry kStringMethods[];  // each ends with an empty name
extern const MethodEntry kListMethods[];
extern const MethodEntry kTupleMethods[];
extern const MethodEntry kRangeMethods[];
extern const MethodEntry kDictMethods[];
extern const MethodEntry kIntMethods[];
extern const MethodEntry kFloatMethods[];

// The method of the value's type, or null.
Method find_method(const Value& object, std::string_view name);

// Attribute first, then item; `undefined` when there is neither. Throws for undefined objects.
Value get_attribute(Interpreter& interpreter, const Value& object, std::string_view name,
                    const Value& undefined);
// Item first, then attribute.
Value get_item(Interpreter& interpreter, const Value& object, const Value& index);
// object[start:stop:step]; null: not given. Throws for types without slices.
Value get_slice(Interpreter& interpreter, const Value& object, const Value& start,
                const Value& stop, const Value& step);

}  // namespace saccade::jinja
