#include "server/prompt/template/operators.h"

#include <algorithm>
#include <cmath>

#include "server/prompt/template/format.h"
#include "server/prompt/template/interpreter.h"
#include "server/prompt/template/numbers.h"
#include "server/prompt/template/unicode.h"

namespace saccade::jinja {
namespace {

std::string quoted_type(const Value& value) { return "'" + std::string(type_name(value)) + "'"; }

[[noreturn]] void fail_operands(const char* op, const Value& a, const Value& b) {
  refuse_undefined(a);
  refuse_undefined(b);
  throw TemplateError(std::string("unsupported operand type(s) for ") + op + ": " + quoted_type(a) +
                      " and " + quoted_type(b));
}

void refuse_poison(const Value& value) {
  const UndefinedObject* info = value.is_undefined() ? value.undefined_info() : nullptr;
  if (info != nullptr && info->poison) throw TemplateError(info->message);
}

bool same_items(const std::vector<Value>& a, const std::vector<Value>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), equals);
}

bool same_entries(const DictObject& a, const DictObject& b) {
  if (a.entries.size() != b.entries.size()) return false;
  return std::all_of(a.entries.begin(), a.entries.end(), [&b](const Entry& entry) {
    const Value* other = b.find(entry.first);
    return other != nullptr && equals(entry.second, *other);
  });
}

// Exact for every pair of 64-bit integer and double, as in Python.
template <typename Compare>
bool compare_numbers(const Value& a, const Value& b, Compare compare) {
  if (a.is_integral() && b.is_integral()) return compare(a.as_int(), b.as_int());
  if (a.is(Kind::kFloat) && b.is(Kind::kFloat)) return compare(a.as_double(), b.as_double());
  const auto exact = [](const Value& v) {
    return v.is_integral() ? static_cast<long double>(v.as_int())
                           : static_cast<long double>(v.as_double());
  };
  return compare(exact(a), exact(b));
}

template <typename T>
bool apply_order(CompareOp op, const T& a, const T& b) {
  switch (op) {
    case CompareOp::kLt:
      return a < b;
    case CompareOp::kLe:
      return a <= b;
    case CompareOp::kGt:
      return a > b;
    default:
      return a >= b;
  }
}

}  // namespace

void fail_undefined(const Value& value) {
  const UndefinedObject* info = value.undefined_info();
  throw TemplateError(info == nullptr ? "a value is undefined" : info->message);
}

void refuse_undefined(const Value& value) {
  if (value.is_undefined()) fail_undefined(value);
}

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      refuse_poison(value);
      return false;
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_double() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict().entries.empty();
    case Kind::kRange:
      return value.range().length > 0;
    default:
      return true;
  }
}

bool equals(const Value& a, const Value& b) {
  refuse_poison(a);
  refuse_poison(b);
  if (a.is_number() && b.is_number()) {
    return compare_numbers(a, b, [](auto x, auto y) { return x == y; });
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      return a.bytes() == b.bytes();
    case Kind::kList:
    case Kind::kTuple:
      return a.identity() == b.identity() || same_items(a.items(), b.items());
    case Kind::kDict:
      return a.identity() == b.identity() || same_entries(a.dict(), b.dict());
    case Kind::kRange: {
      const RangeObject& x = a.range();
      const RangeObject& y = b.range();
      if (x.length != y.length) return false;
      if (x.length == 0) return true;
      return x.start == y.start && (x.length == 1 || x.step == y.step);
    }
    default:
      return a.identity() == b.identity();
  }
}

bool ordered(CompareOp op, const Value& a, const Value& b) {
  refuse_undefined(a);
  refuse_undefined(b);
  if (a.is_number() && b.is_number()) {
    return compare_numbers(a, b, [op](auto x, auto y) { return apply_order(op, x, y); });
  }
  if (a.is_string() && b.is_string()) return apply_order(op, a.bytes(), b.bytes());
  if (a.is_sequence() && a.kind() == b.kind()) {
    const auto& x = a.items();
    const auto& y = b.items();
    const size_t common = std::min(x.size(), y.size());
    for (size_t i = 0; i < common; ++i) {
      if (!equals(x[i], y[i])) return ordered(op, x[i], y[i]);
    }
    return apply_order(op, x.size(), y.size());
  }
  static constexpr const char* kNames[] = {"==", "!=", "<", "<=", ">", ">="};
  throw TemplateError(std::string("'") + kNames[static_cast<int>(op)] +
                      "' not supported between instances of " + quoted_type(a) + " and " +
                      quoted_type(b));
}

bool contains(Interpreter& interpreter, const Value& container, const Value& item) {
  interpreter.budget().charge(std::min(container.weight(), kMaxValueWeight));
  switch (container.kind()) {
    case Kind::kUndefined:
      refuse_poison(container);
      return false;
    case Kind::kString:
      if (!item.is_string()) {
        throw TemplateError("'in <string>' requires string as left operand, not " +
                            std::string(type_name(item)));
      }
      return container.bytes().find(item.bytes()) != std::string_view::npos;
    case Kind::kDict:
      require_hashable(item);
      return container.dict().find(item) != nullptr;
    case Kind::kRange:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
    case Kind::kIterator: {
      Cursor cursor(interpreter, container);
      for (Value value; cursor.next(value);) {
        if (equals(value, item)) return true;
      }
      return false;
    }
    default:
      throw TemplateError("argument of type " + quoted_type(container) + " is not iterable");
  }
}

bool compare(Interpreter& interpreter, CompareOp op, const Value& a, const Value& b) {
  if (a.weight() > 8 && b.weight() > 8) {
    interpreter.budget().charge(std::min(a.weight(), b.weight()));
  }
  switch (op) {
    case CompareOp::kEq:
      return equals(a, b);
    case CompareOp::kNe:
      return !equals(a, b);
    case CompareOp::kIn:
      return contains(interpreter, b, a);
    case CompareOp::kNotIn:
      return !contains(interpreter, b, a);
    default:
      return ordered(op, a, b);
  }
}

namespace {

[[noreturn]] void fail_overflow() {
  throw TemplateError("integer arithmetic does not fit 64 bits");
}
[[noreturn]] void fail_zero() { throw TemplateError("division by zero"); }

int64_t floor_div(int64_t a, int64_t b) {
  if (b == 0) fail_zero();
  if (b == -1) {
    int64_t out = 0;
    if (__builtin_sub_overflow(int64_t{0}, a, &out)) fail_overflow();
    return out;
  }
  const int64_t quotient = a / b;
  return a % b != 0 && (a % b < 0) != (b < 0) ? quotient - 1 : quotient;
}

int64_t floor_mod(int64_t a, int64_t b) {
  if (b == 0) fail_zero();
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t out = 1;
  while (exponent > 0) {
    if (exponent & 1) {
      if (__builtin_mul_overflow(out, base, &out)) fail_overflow();
    }
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_overflow();
  }
  return out;
}

double float_power(double base, double exponent) {
  if (base == 0 && exponent < 0) throw TemplateError("0.0 cannot be raised to a negative power");
  if (base < 0 && std::isfinite(base) && std::isfinite(exponent) &&
      exponent != std::floor(exponent)) {
    throw TemplateError("a negative number to a fractional power is complex");
  }
  const double out = std::pow(base, exponent);
  if (std::isinf(out) && std::isfinite(base) && std::isfinite(exponent)) {
    throw TemplateError("numerical result out of range");
  }
  return out;
}

// Python's float divmod; returns the floored quotient and sets `mod`, which has b's sign.
double float_divmod(double a, double b, double& mod) {
  if (b == 0) fail_zero();
  mod = std::fmod(a, b);
  double quotient = (a - mod) / b;
  if (mod != 0) {
    if ((b < 0) != (mod < 0)) {
      mod += b;
      quotient -= 1.0;
    }
  } else {
    mod = std::copysign(0.0, b);
  }
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1.0 : floored;
}

Value integer_op(BinaryOp op, const Value& left, const Value& right, bool mark) {
  const int64_t a = left.as_int();
  const int64_t b = right.as_int();
  int64_t out = 0;
  switch (op) {
    case BinaryOp::kAdd:
      if (__builtin_add_overflow(a, b, &out)) fail_overflow();
      break;
    case BinaryOp::kSub:
      if (__builtin_sub_overflow(a, b, &out)) fail_overflow();
      break;
    case BinaryOp::kMul:
      if (__builtin_mul_overflow(a, b, &out)) fail_overflow();
      break;
    case BinaryOp::kDiv:
      if (b == 0) fail_zero();
      return Value::real(
          static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)), mark);
    case BinaryOp::kFloorDiv:
      out = floor_div(a, b);
      break;
    case BinaryOp::kMod:
      out = floor_mod(a, b);
      break;
    case BinaryOp::kPow:
      if (b < 0) {
        return Value::real(float_power(static_cast<double>(a), static_cast<double>(b)), mark);
      }
      out = integer_power(a, b);
      break;
  }
  return Value::integer(out, mark);
}

double float_op(BinaryOp op, double a, double b) {
  double mod = 0;
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSub:
      return a - b;
    case BinaryOp::kMul:
      return a * b;
    case BinaryOp::kDiv:
      if (b == 0) fail_zero();
      return a / b;
    case BinaryOp::kFloorDiv:
      return float_divmod(a, b, mod);
    case BinaryOp::kMod:
      float_divmod(a, b, mod);
      return mod;
    case BinaryOp::kPow:
      return float_power(a, b);
  }
  return 0;
}

Value join_strings(Interpreter& interpreter, const Value& a, const Value& b) {
  interpreter.budget().charge_bytes(a.text().size() + b.text().size());
  MarkedText out;
  out.reserve(a.text().size() + b.text().size());
  const bool markup = a.is_markup() || b.is_markup();
  for (const Value* part : {&a, &b}) {
    if (markup && !part->is_markup()) {
      out.append(escape_html(interpreter, part->text()));
    } else {
      out.append(part->text());
    }
  }
  return Value::string(std::move(out), markup);
}

Value join_lists(Interpreter& interpreter, const Value& a, const Value& b) {
  interpreter.budget().charge(a.items().size() + b.items().size());
  std::vector<Value> items = a.items();
  items.insert(items.end(), b.items().begin(), b.items().end());
  return a.is(Kind::kList) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

Value repeat(Interpreter& interpreter, const Value& value, int64_t times) {
  const uint64_t count = times > 0 ? static_cast<uint64_t>(times) : 0;
  Budget& budget = interpreter.budget();
  if (value.is_string()) {
    const MarkedText& text = value.text();
    if (!text.empty() && count > budget.max_bytes() / text.size()) budget.charge_bytes(SIZE_MAX);
    budget.charge_bytes(text.size() * count);
    MarkedText out;
    out.reserve(text.size() * count);
    for (uint64_t i = 0; i < count && !text.empty(); ++i) out.append(text);
    return Value::string(std::move(out), value.is_markup());
  }
  const auto& items = value.items();
  if (!items.empty() && count > kMaxValueWeight / items.size()) budget.charge(UINT64_MAX);
  budget.charge(items.size() * count);
  std::vector<Value> out;
  for (uint64_t i = 0; i < count && !items.empty(); ++i) {
    out.insert(out.end(), items.begin(), items.end());
  }
  return value.is(Kind::kList) ? Value::list(std::move(out)) : Value::tuple(std::move(out));
}

bool repeatable(const Value& value) { return value.is_string() || value.is_sequence(); }

}  // namespace

Value binary(Interpreter& interpreter, BinaryOp op, const Value& a, const Value& b) {
  const bool mark = a.number_from_user() || b.number_from_user();
  if (a.is_integral() && b.is_integral()) return integer_op(op, a, b, mark);
  if (a.is_number() && b.is_number()) {
    return Value::real(float_op(op, a.as_double(), b.as_double()), mark);
  }
  if (op == BinaryOp::kAdd) {
    if (a.is_string() && b.is_string()) return join_strings(interpreter, a, b);
    if (a.is_sequence() && a.kind() == b.kind()) return join_lists(interpreter, a, b);
  }
  if (op == BinaryOp::kMul) {
    if (repeatable(a) && b.is_integral()) return repeat(interpreter, a, b.as_int());
    if (repeatable(b) && a.is_integral()) return repeat(interpreter, b, a.as_int());
  }
  if (op == BinaryOp::kMod && a.is_string()) return percent_format(interpreter, a, b);
  static constexpr const char* kNames[] = {"+", "-", "*", "/", "//", "%", "**"};
  fail_operands(kNames[static_cast<int>(op)], a, b);
}

Value negate(const Value& value) {
  if (value.is_integral()) {
    int64_t out = 0;
    if (__builtin_sub_overflow(int64_t{0}, value.as_int(), &out)) fail_overflow();
    return Value::integer(out, value.number_from_user());
  }
  if (value.is(Kind::kFloat)) return Value::real(-value.as_double(), value.number_from_user());
  refuse_undefined(value);
  throw TemplateError("bad operand type for unary -: " + quoted_type(value));
}

Value positive(const Value& value) {
  if (value.is_integral()) return Value::integer(value.as_int(), value.number_from_user());
  if (value.is(Kind::kFloat)) return value;
  refuse_undefined(value);
  throw TemplateError("bad operand type for unary +: " + quoted_type(value));
}

int64_t length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      refuse_poison(value);
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(count_code_points(value.bytes()));
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().entries.size());
    case Kind::kRange:
      return value.range().length;
    default:
      throw TemplateError("object of type " + quoted_type(value) + " has no len()");
  }
}

}  // namespace saccade::jinja
