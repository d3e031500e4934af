#pragma once

// Python's operators, truth, equality and printing for template values.

#include "server/prompt/template/budget.h"
#include "server/prompt/template/value.h"

namespace saccade::jinja {

enum class BinaryOp : uint8_t { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class CompareOp : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

// Throws what an undefined value throws when it is used.
[[noreturn]] void fail_undefined(const Value& value);
void refuse_undefined(const Value& value);  // throws if it is undefined

bool truthy(const Value& value);
bool equals(const Value& a, const Value& b);
// kLt, kLe, kGt or kGe; throws for types without an order.
bool ordered(CompareOp op, const Value& a, const Value& b);
bool contains(Interpreter& interpreter, const Value& container, const Value& item);
bool compare(Interpreter& interpreter, CompareOp op, const Value& a, const Value& b);

Value binary(Interpreter& interpreter, BinaryOp op, const Value& a, const Value& b);
Value negate(const Value& value);
Value positive(const Value& value);

// len(); throws for values without one.
int64_t length(const Value& value);

// str() and repr().
MarkedText to_text(Interpreter& interpreter, const Value& value);
void append_text(Interpreter& interpreter, MarkedText& out, const Value& value);
void append_repr(Interpreter& interpreter, MarkedText& out, const Value& value);
// str() as a value; strings pass through, markup included.
Value soft_string(Interpreter& interpreter, const Value& value);

// & < > " ' as HTML entities, as markupsafe writes them.
MarkedText escape_html(Interpreter& interpreter, const MarkedText& text);

}  // namespace saccade::jinja
