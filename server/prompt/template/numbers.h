#pragma once

// Numbers from and to text as Python reads and writes them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace saccade::jinja {

inline bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

std::string float_repr(double value);

// int(text, base): surrounding space, sign, underscores, base prefixes. Nothing when it is not a
// number; throws TemplateError when it does not fit 64 bits.
std::optional<int64_t> parse_int(std::string_view text, int base);
// float(text): also inf, infinity and nan.
std::optional<double> parse_float(std::string_view text);

// int(value) of a float: truncated; throws TemplateError for inf, nan and what does not fit.
int64_t truncate_to_int(double value);

// One conversion of str.format or %: "[[fill]align][sign][z][#][0][width][,][.precision][type]".
struct FormatSpec {
  std::string fill = " ";
  char align = 0;  // < > ^ =, 0 when not given
  char sign = '-';
  bool alternate = false;
  bool zero = false;
  int64_t width = 0;
  char grouping = 0;  // , or _
  int64_t precision = -1;
  char type = 0;
};
// Throws TemplateError when it is malformed or asks for more than kMaxFormatWidth columns.
FormatSpec parse_format_spec(std::string_view spec);
constexpr int64_t kMaxFormatWidth = 100000;

std::string format_int(const FormatSpec& spec, int64_t value);
std::string format_float(const FormatSpec& spec, double value);
// Spaces around a formatted text: bytes to put before and behind it.
struct Padding {
  std::string before;
  std::string behind;
};
Padding padding_for(const FormatSpec& spec, size_t code_points, char default_align);

}  // namespace saccade::jinja
