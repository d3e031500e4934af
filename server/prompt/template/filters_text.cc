// Filters that make or change text and numbers.

#include <cmath>
#include <cstdio>

#include "server/prompt/template/arguments.h"
#include "server/prompt/template/attributes.h"
#include "server/prompt/template/filters.h"
#include "server/prompt/template/format.h"
#include "server/prompt/template/interpreter.h"
#include "server/prompt/template/json_dump.h"
#include "server/prompt/template/numbers.h"
#include "server/prompt/template/text_functions.h"
#include "server/prompt/template/unicode.h"

namespace saccade::jinja {
namespace {

using Call = const Arguments&;

// A filter that is a method of str applied to str(value).
Value as_method(Interpreter& interpreter, const Value& value, std::string_view method, Call call) {
  const Value text = soft_string(interpreter, value);
  return find_method(text, method)(interpreter, text, call);
}

Value upper(Interpreter& interpreter, const Value& value, Call call) {
  return as_method(interpreter, value, "upper", call);
}
Value lower(Interpreter& interpreter, const Value& value, Call call) {
  return as_method(interpreter, value, "lower", call);
}
Value capitalize(Interpreter& interpreter, const Value& value, Call call) {
  return as_method(interpreter, value, "capitalize", call);
}
Value trim(Interpreter& interpreter, const Value& value, Call call) {
  return as_method(interpreter, value, "strip", call);
}

Value center_filter(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("center", call, {"width"});
  const Value text = soft_string(interpreter, value);
  return Value::string(
      center(interpreter, text.text(), MarkedText(" ", false), given.integer(0, 80)),
      text.is_markup());
}

bool begins_word(UChar32 c) {
  return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
}

Value title(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters none("title", call, {});
  const MarkedText text = to_text(interpreter, value);
  MarkedText out;
  for (size_t i = 0; i < text.size();) {
    const size_t first = i;
    const bool separator = begins_word(next_code_point(text.view(), i));
    const size_t behind_first = i;
    while (i < text.size()) {
      size_t behind = i;
      if (begins_word(next_code_point(text.view(), behind)) != separator) break;
      i = behind;
    }
    out.append(map_case(text.substr(first, behind_first), CaseMapping::kUpper));
    out.append(map_case(text.substr(behind_first, i), CaseMapping::kLower));
  }
  return Value::string(std::move(out));
}

Value replace_filter(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("replace", call, {"old", "new", "count"}, 2);
  const MarkedText text = to_text(interpreter, value);
  const MarkedText from = to_text(interpreter, *given[0]);
  const MarkedText to = to_text(interpreter, *given[1]);
  const int64_t count = given.optional_integer(2).value_or(-1);
  return Value::string(replace(interpreter, text, from, to, count));
}

Value string(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters none("string", call, {});
  return soft_string(interpreter, value);
}

Value safe(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters none("safe", call, {});
  return Value::string(to_text(interpreter, value), true);
}

Value escape(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters none("escape", call, {});
  if (value.is_markup()) return value;
  return Value::string(escape_html(interpreter, to_text(interpreter, value)), true);
}

Value force_escape(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters none("forceescape", call, {});
  return Value::string(escape_html(interpreter, to_text(interpreter, value)), true);
}

Value indent(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("indent", call, {"width", "first", "blank"});
  if (!value.is_string()) {
    refuse_undefined(value);
    throw TemplateError("indent needs a string");
  }
  MarkedText spaces("    ", false);
  if (given.has(0) && given[0]->is_string()) {
    spaces = given[0]->text();
  } else if (given.has(0)) {
    const MarkedText space(" ", false);
    spaces = pad(interpreter, MarkedText(), space, given.integer(0, 4), 0);
  }
  MarkedText with_newline = value.text();
  with_newline.append("\n", false);
  const std::vector<MarkedText> lines = split_lines(interpreter, with_newline, false);
  MarkedText out;
  if (given.flag(1)) out.append(spaces);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out.append("\n", false);
      if (given.flag(2) || !lines[i].empty()) out.append(spaces);
    }
    out.append(lines[i]);
    if (out.size() > interpreter.budget().max_bytes()) break;
  }
  interpreter.budget().charge_bytes(out.size());
  return Value::string(std::move(out), value.is_markup());
}

Value truncate(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("truncate", call, {"length", "killwords", "end", "leeway"});
  const int64_t limit = given.integer(0, 255);
  const MarkedText end = given.has(2) ? given.string(2).text() : MarkedText("...", false);
  const int64_t leeway = given.optional_integer(3).value_or(5);
  const int64_t end_length = static_cast<int64_t>(count_code_points(end.view()));
  if (limit < end_length || leeway < 0) throw TemplateError("truncate: the length is too short");
  const int64_t size = length(value);
  if (size <= limit || size - limit <= leeway) return value;
  if (!value.is_string()) throw TemplateError("truncate needs a string");
  size_t stop = 0;
  for (int64_t i = 0; i < limit - end_length; ++i) next_code_point(value.bytes(), stop);
  MarkedText out = value.text().substr(0, stop);
  if (!given.flag(1)) {
    const size_t space = out.view().rfind(' ');
    if (space != std::string_view::npos) out = out.substr(0, space);
  }
  out.append(end);
  interpreter.budget().charge_bytes(out.size());
  return Value::string(std::move(out), value.is_markup());
}

Value word_count(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters none("wordcount", call, {});
  const MarkedText text = to_text(interpreter, value);
  int64_t words = 0;
  bool inside = false;
  for (size_t i = 0; i < text.size();) {
    const bool word = is_word(next_code_point(text.view(), i));
    words += word && !inside;
    inside = word;
  }
  return Value::integer(words);
}

Value format_filter(Interpreter& interpreter, const Value& value, Call call) {
  if (!call.positional.empty() && !call.named.empty()) {
    throw TemplateError("can't handle positional and keyword arguments at the same time");
  }
  const Value format = soft_string(interpreter, value);
  if (call.named.empty()) {
    return percent_format(interpreter, format, Value::tuple(call.positional));
  }
  std::vector<Entry> entries;
  for (const auto& [name, item] : call.named) entries.emplace_back(Value::string(name), item);
  return percent_format(interpreter, format, Value::dict(std::move(entries)));
}

MarkedText indent_of(Interpreter& interpreter, const Value& value) {
  if (value.is_string()) return value.text();
  const int64_t width = require_int(value);
  return pad(interpreter, MarkedText(), MarkedText(" ", false), width, 0);
}

Value to_json(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("tojson", call, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = given.flag(0);
  style.sort_keys = given.flag(3);
  if (const Value* indentation = given.unless_none(1)) {
    style.indent = indent_of(interpreter, *indentation);
    style.item_separator = MarkedText(",", false);
  }
  if (const Value* separators = given.unless_none(2)) {
    const bool pair = separators->is_sequence() && separators->items().size() == 2 &&
                      separators->items()[0].is_string() && separators->items()[1].is_string();
    if (!pair) throw TemplateError("tojson: separators must be two strings");
    style.item_separator = separators->items()[0].text();
    style.key_separator = separators->items()[1].text();
  }
  return Value::string(dump_json(interpreter, value, style));
}

// int() of anything, or nothing where Python raises TypeError or ValueError.
std::optional<int64_t> to_int(const Value& value, int64_t base) {
  refuse_undefined(value);
  if (value.is_string()) {
    if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
    return parse_int(value.bytes(), static_cast<int>(base));
  }
  if (value.is_integral()) return value.as_int();
  if (!value.is(Kind::kFloat) || std::isnan(value.as_double())) return std::nullopt;
  return truncate_to_int(value.as_double());
}

Value int_filter(Interpreter&, const Value& value, Call call) {
  const Parameters given("int", call, {"default", "base"});
  const bool mark = value.number_from_user() || (value.is_string() && value.text().any_from_user());
  if (const auto number = to_int(value, given.integer(1, 10))) return Value::integer(*number, mark);
  if (value.is_string()) {
    const auto real = parse_float(value.bytes());
    if (real && std::isfinite(*real)) return Value::integer(truncate_to_int(*real), mark);
  }
  return given.has(0) ? *given[0] : Value::integer(0);
}

Value float_filter(Interpreter&, const Value& value, Call call) {
  const Parameters given("float", call, {"default"});
  refuse_undefined(value);
  if (value.is_number()) return Value::real(value.as_double(), value.number_from_user());
  if (value.is_string()) {
    if (const auto real = parse_float(value.bytes())) {
      return Value::real(*real, value.text().any_from_user());
    }
  }
  return given.has(0) ? *given[0] : Value::real(0.0);
}

double round_half_even(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 330) return value;
  if (precision >= 0) {
    char buffer[700];
    std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(precision), value);
    return std::strtod(buffer, nullptr);
  }
  if (precision < -310) return std::copysign(0.0, value);
  const double unit = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(value / unit) * unit;
}

int64_t round_integer(int64_t value, int64_t precision) {
  if (precision >= 0) return value;
  if (precision < -18) return 0;
  int64_t unit = 1;
  for (int64_t i = 0; i < -precision; ++i) unit *= 10;
  int64_t rest = value % unit;
  if (rest < 0) rest += unit;
  int64_t low = 0;
  if (__builtin_sub_overflow(value, rest, &low)) {
    throw TemplateError("an integer does not fit 64 bits");
  }
  const bool up = rest > unit - rest || (rest == unit - rest && (low / unit) % 2 != 0);
  int64_t out = low;
  if (up && __builtin_add_overflow(low, unit, &out)) {
    throw TemplateError("an integer does not fit 64 bits");
  }
  return out;
}

Value round_filter(Interpreter& interpreter, const Value& value, Call call) {
  const Parameters given("round", call, {"precision", "method"});
  const std::string_view method = given.has(1) ? given.string(1).bytes() : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    throw TemplateError("method must be common, ceil or floor");
  }
  if (!value.is_number()) {
    refuse_undefined(value);
    throw TemplateError("round needs a number");
  }
  const int64_t precision = given.integer(0, 0);
  const bool mark = value.number_from_user();
  if (method == "common") {
    if (value.is_integral()) return Value::integer(round_integer(value.as_int(), precision), mark);
    return Value::real(round_half_even(value.as_double(), precision), mark);
  }
  const Value ten = Value::integer(10);
  const Value unit = binary(interpreter, BinaryOp::kPow, ten, Value::integer(precision));
  Value scaled = binary(interpreter, BinaryOp::kMul, value, unit);
  if (scaled.is(Kind::kFloat)) {
    const double whole =
        method == "ceil" ? std::ceil(scaled.as_double()) : std::floor(scaled.as_double());
    scaled = Value::integer(truncate_to_int(whole), mark);
  }
  return binary(interpreter, BinaryOp::kDiv, scaled, unit);
}

Value abs_filter(Interpreter&, const Value& value, Call call) {
  const Parameters none("abs", call, {});
  if (value.is(Kind::kFloat)) {
    return Value::real(std::fabs(value.as_double()), value.number_from_user());
  }
  if (!value.is_integral()) {
    refuse_undefined(value);
    throw TemplateError("bad operand type for abs(): '" + std::string(type_name(value)) + "'");
  }
  return value.as_int() < 0 ? negate(value) : positive(value);
}

Value file_size(Interpreter&, const Value& value, Call call) {
  const Parameters given("filesizeformat", call, {"binary"});
  const auto parsed = value.is_string() ? parse_float(value.bytes()) : std::nullopt;
  if (!value.is_number() && !parsed) {
    refuse_undefined(value);
    throw TemplateError("filesizeformat needs a number");
  }
  const double bytes = parsed ? *parsed : value.as_double();
  const bool binary_units = given.flag(0);
  const double base = binary_units ? 1024 : 1000;
  if (bytes == 1) return Value::string("1 Byte");
  if (bytes < base) return Value::string(std::to_string(truncate_to_int(bytes)) + " Bytes");
  static constexpr const char* kPrefixes[] = {"k", "M", "G", "T", "P", "E", "Z", "Y"};
  double unit = base;
  for (size_t i = 0;; ++i) {
    unit *= base;
    if (bytes < unit || i == 7) {
      char text[64];
      std::snprintf(text, sizeof(text), "%.1f", base * bytes / unit);
      const std::string prefix = binary_units && i == 0 ? "K" : kPrefixes[i];
      return Value::string(std::string(text) + " " + prefix + (binary_units ? "iB" : "B"));
    }
  }
}

}  // namespace

const FilterEntry kTextFilters[] = {
    {"upper", upper},
    {"lower", lower},
    {"capitalize", capitalize},
    {"trim", trim},
    {"center", center_filter},
    {"title", title},
    {"replace", replace_filter},
    {"string", string},
    {"safe", safe},
    {"escape", escape},
    {"e", escape},
    {"forceescape", force_escape},
    {"indent", indent},
    {"truncate", truncate},
    {"wordcount", word_count},
    {"format", format_filter},
    {"tojson", to_json},
    {"int", int_filter},
    {"float", float_filter},
    {"round", round_filter},
    {"abs", abs_filter},
    {"filesizeformat", file_size},
    {"", nullptr},
};

}  // namespace saccade::jinja
