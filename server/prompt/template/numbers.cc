#include "server/prompt/template/numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "server/prompt/template/unicode.h"
#include "server/prompt/template/value.h"

namespace saccade::jinja {
namespace {

std::string_view strip_spaces(std::string_view text) {
  while (!text.empty()) {
    size_t behind = 0;
    if (!is_space(next_code_point(text, behind))) break;
    text.remove_prefix(behind);
  }
  while (!text.empty()) {
    size_t start = text.size();
    if (!is_space(previous_code_point(text, start))) break;
    text = text.substr(0, start);
  }
  return text;
}

int digit_value(char c) {
  if (is_ascii_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

int prefix_base(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  const char kind = static_cast<char>(text[1] | 0x20);
  return kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
}

// Digits with single underscores between them.
std::optional<int64_t> parse_digits(std::string_view digits, int base, bool negative) {
  int64_t value = 0;
  bool after_digit = false;
  bool overflow = false;
  for (const char c : digits) {
    if (c == '_') {
      if (!after_digit) return std::nullopt;
      after_digit = false;
      continue;
    }
    const int digit = digit_value(c);
    if (digit >= base) return std::nullopt;
    overflow = overflow || __builtin_mul_overflow(value, base, &value) ||
               __builtin_add_overflow(value, negative ? -digit : digit, &value);
    after_digit = true;
  }
  if (!after_digit) return std::nullopt;
  if (overflow) throw TemplateError("an integer does not fit 64 bits");
  return value;
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  std::string shortest(buffer, end.ptr);
  const size_t e = shortest.find('e');
  const int exponent = std::atoi(shortest.c_str() + e + 1);
  std::string digits = shortest.substr(0, e);
  if (exponent < -4 || exponent >= 16) {
    const std::string magnitude = std::to_string(std::abs(exponent));
    return digits + "e" + (exponent < 0 ? "-" : "+") + (magnitude.size() < 2 ? "0" : "") +
           magnitude;
  }
  const auto fixed =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::optional<int64_t> parse_int(std::string_view text, int base) {
  text = strip_spaces(text);
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  const int prefixed = prefix_base(text);
  if (prefixed != 0 && (base == 0 || base == prefixed)) {
    base = prefixed;
    text.remove_prefix(2);
    if (!text.empty() && text[0] == '_') text.remove_prefix(1);
  } else if (base == 0) {
    base = 10;
    const bool zeros = text.find_first_not_of("0_") == std::string_view::npos;
    if (text.size() > 1 && text[0] == '0' && !zeros) return std::nullopt;
  }
  return parse_digits(text, base, negative);
}

std::optional<double> parse_float(std::string_view text) {
  text = strip_spaces(text);
  std::string clean;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_') {
      if (i == 0 || i + 1 == text.size() || !is_ascii_digit(text[i - 1]) ||
          !is_ascii_digit(text[i + 1])) {
        return std::nullopt;
      }
      continue;
    }
    clean += static_cast<char>(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
  }
  const bool negative = !clean.empty() && clean[0] == '-';
  const std::string magnitude =
      !clean.empty() && (clean[0] == '+' || clean[0] == '-') ? clean.substr(1) : clean;
  if (magnitude == "inf" || magnitude == "infinity") return negative ? -INFINITY : INFINITY;
  if (magnitude == "nan") return NAN;
  // strtod would also take hexadecimal numbers and nan(...).
  if (magnitude.empty() || magnitude.find_first_not_of("0123456789.e+-") != std::string::npos) {
    return std::nullopt;
  }
  if (!is_ascii_digit(magnitude[0]) && magnitude[0] != '.') return std::nullopt;
  double value = 0;
  const char* end = magnitude.data() + magnitude.size();
  const auto parsed = std::from_chars(magnitude.data(), end, value);
  if (parsed.ptr != end) return std::nullopt;
  if (parsed.ec == std::errc::result_out_of_range)
    value = std::strtod(magnitude.c_str(), nullptr);
  else if (parsed.ec != std::errc())
    return std::nullopt;
  return negative ? -value : value;
}

int64_t truncate_to_int(double value) {
  if (!std::isfinite(value)) throw TemplateError("cannot convert float infinity or nan to integer");
  if (value >= 9223372036854775808.0 || value < -9223372036854775808.0) {
    throw TemplateError("an integer does not fit 64 bits");
  }
  return static_cast<int64_t>(value);
}

namespace {

int64_t take_number(std::string_view spec, size_t& i) {
  int64_t value = 0;
  while (i < spec.size() && is_ascii_digit(spec[i])) {
    value = value * 10 + (spec[i++] - '0');
    if (value > kMaxFormatWidth) throw TemplateError("a format width or precision is too large");
  }
  return value;
}

bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

// Thousands separators in a run of digits; `every` is 3 for decimal numbers, else 4.
std::string group_digits(const std::string& digits, char separator, size_t every) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % every == 0) out += separator;
    out += digits[i];
  }
  return out;
}

std::string sign_text(const FormatSpec& spec, bool negative) {
  if (negative) return "-";
  return spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
}

std::string integer_digits(uint64_t magnitude, int base, bool upper) {
  char buffer[72];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), magnitude, base);
  std::string digits(buffer, end.ptr);
  if (upper) {
    for (char& c : digits) c = c >= 'a' ? static_cast<char>(c - 32) : c;
  }
  return digits;
}

// Pads sign + prefix + body to the width; with `=` the padding goes behind the sign.
std::string pad_number(const FormatSpec& spec, const std::string& head, const std::string& body) {
  const std::string text = head + body;
  const bool inner = spec.align == '=' || (spec.align == 0 && spec.zero);
  FormatSpec filled = spec;
  if (spec.zero && spec.align == 0) filled.fill = "0";
  const Padding padding = padding_for(filled, text.size(), '>');
  if (inner) return head + padding.before + body;
  return padding.before + text + padding.behind;
}

// Leading zeros are grouped, too: "{:08,}" of 1234 is "0,001,234".
std::string zero_grouped(const FormatSpec& spec, const std::string& head, std::string digits,
                         size_t every) {
  std::string grouped = group_digits(digits, spec.grouping, every);
  while (spec.zero && spec.align == 0 &&
         static_cast<int64_t>(head.size() + grouped.size()) < spec.width) {
    digits.insert(digits.begin(), '0');
    grouped = group_digits(digits, spec.grouping, every);
  }
  return grouped;
}

}  // namespace

FormatSpec parse_format_spec(std::string_view spec) {
  FormatSpec out;
  size_t i = 0;
  if (!spec.empty()) {
    size_t behind = 0;
    next_code_point(spec, behind);
    if (behind < spec.size() && is_align(spec[behind])) {
      out.fill = std::string(spec.substr(0, behind));
      out.align = spec[behind];
      i = behind + 1;
    } else if (is_align(spec[0])) {
      out.align = spec[0];
      i = 1;
    }
  }
  if (i < spec.size() && (spec[i] == '+' || spec[i] == '-' || spec[i] == ' ')) out.sign = spec[i++];
  if (i < spec.size() && spec[i] == '#') out.alternate = ++i > 0;
  if (i < spec.size() && spec[i] == '0') {
    out.zero = true;
    ++i;
  }
  out.width = take_number(spec, i);
  if (i < spec.size() && (spec[i] == ',' || spec[i] == '_')) out.grouping = spec[i++];
  if (i < spec.size() && spec[i] == '.') {
    ++i;
    if (i >= spec.size() || !is_ascii_digit(spec[i])) {
      throw TemplateError("Format specifier missing precision");
    }
    out.precision = take_number(spec, i);
  }
  if (i < spec.size()) out.type = spec[i++];
  if (i != spec.size()) throw TemplateError("Invalid format specifier");
  return out;
}

Padding padding_for(const FormatSpec& spec, size_t code_points, char default_align) {
  Padding padding;
  const int64_t missing = spec.width - static_cast<int64_t>(code_points);
  if (missing <= 0) return padding;
  const char align = spec.align != 0 ? spec.align : default_align;
  const int64_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  for (int64_t i = 0; i < before; ++i) padding.before += spec.fill;
  for (int64_t i = before; i < missing; ++i) padding.behind += spec.fill;
  return padding;
}

std::string format_int(const FormatSpec& spec, int64_t value) {
  const char type = spec.type == 0 ? 'd' : spec.type;
  if (std::string_view("eEfFgG%").find(type) != std::string_view::npos) {
    return format_float(spec, static_cast<double>(value));
  }
  if (spec.precision >= 0) throw TemplateError("Precision not allowed in integer format specifier");
  if (type == 'c') {
    if (value < 0 || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      throw TemplateError("%c arg not in range(0x110000)");
    }
    std::string out;
    append_utf8(out, static_cast<UChar32>(value));
    const Padding padding = padding_for(spec, 1, '<');
    return padding.before + out + padding.behind;
  }
  const int base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  if (base == 10 && type != 'd' && type != 'n') {
    throw TemplateError(std::string("Unknown format code '") + type + "' for object of type 'int'");
  }
  const uint64_t magnitude =
      value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string head = sign_text(spec, value < 0);
  if (spec.alternate && base != 10) head += std::string("0") + type;
  std::string digits = integer_digits(magnitude, base, type == 'X');
  if (spec.grouping != 0) digits = zero_grouped(spec, head, digits, base == 10 ? 3 : 4);
  return pad_number(spec, head, digits);
}

namespace {

std::string printf_double(const std::string& format, int precision, double value) {
  const int size = std::snprintf(nullptr, 0, format.c_str(), precision, value);
  std::string out(static_cast<size_t>(size) + 1, '\0');
  std::snprintf(out.data(), out.size(), format.c_str(), precision, value);
  out.pop_back();
  return out;
}

std::string float_body(const FormatSpec& spec, char type, double magnitude) {
  const char lower = static_cast<char>(type | 0x20);
  if (!std::isfinite(magnitude)) {
    std::string word = std::isnan(magnitude) ? "nan" : "inf";
    if (type >= 'A' && type <= 'Z') word = std::isnan(magnitude) ? "NAN" : "INF";
    return type == '%' ? word + "%" : word;
  }
  if (type == 0) {
    if (spec.precision < 0) return float_repr(magnitude);
    const int precision = static_cast<int>(std::max<int64_t>(spec.precision, 1));
    // Like 'g', but with at least one digit behind the point, and 1e+16 style from there on.
    std::string body = printf_double("%.*g", precision, magnitude);
    if (body.find_first_of(".e") == std::string::npos) {
      if (static_cast<int>(body.size()) == precision && precision > 0) {
        return printf_double("%.*e", precision - 1, magnitude);
      }
      body += ".0";
    }
    return body;
  }
  const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
  if (type == '%') return printf_double("%.*f", precision, magnitude * 100) + "%";
  if (lower != 'e' && lower != 'f' && lower != 'g' && type != 'n') {
    throw TemplateError(std::string("Unknown format code '") + type +
                        "' for object of type 'float'");
  }
  const std::string format =
      std::string("%") + (spec.alternate ? "#" : "") + ".*" + (type == 'n' ? 'g' : type);
  return printf_double(format, precision, magnitude);
}

}  // namespace

std::string format_float(const FormatSpec& spec, double value) {
  const bool negative = std::signbit(value) && !std::isnan(value);
  const std::string head = sign_text(spec, negative);
  std::string body = float_body(spec, spec.type, std::fabs(value));
  if (spec.grouping != 0) {
    const size_t whole = std::min(body.find_first_not_of("0123456789"), body.size());
    FormatSpec part = spec;
    part.width -= static_cast<int64_t>(body.size() - whole);
    body = zero_grouped(part, head, body.substr(0, whole), 3) + body.substr(whole);
  }
  return pad_number(spec, head, body);
}

}  // namespace saccade::jinja
