#include "server/output/grammar/schema_scalars.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "server/output/grammar/numbers.h"
#include "server/output/grammar/regex.h"

namespace saccade::grammar {
namespace {

constexpr int kMaxDivisor = 256;      // of multipleOf without bounds: a rule for each remainder
constexpr int64_t kMaxListed = 4096;  // multiples in a range, written out
constexpr int kFractionDigits = 6;    // of a number between bounds
constexpr int kMaxFractionDigits = 12;

ExprPtr pattern_string(const std::string& pattern, const std::string& path) {
  try {
    return sequence({literal("\""), regex(pattern, TextContext::kJsonString), literal("\"")});
  } catch (const GrammarError& error) {
    reject(path, error.message);
  }
}

struct Bounds {
  std::optional<double> min, max;
  std::string min_keyword = "minimum", max_keyword = "maximum";
  bool min_exclusive = false, max_exclusive = false;
};

std::optional<double> number_of(const Json& schema, const char* keyword, const std::string& path) {
  const auto member = schema.find(keyword);
  if (member == schema.end()) return std::nullopt;
  if (!member->is_number()) reject(path + keyword, "must be a number");
  return member->get<double>();
}

Bounds bounds_of(const Json& schema, const std::string& path) {
  Bounds bounds;
  bounds.min = number_of(schema, "minimum", path);
  bounds.max = number_of(schema, "maximum", path);
  const auto low = number_of(schema, "exclusiveMinimum", path);
  const auto high = number_of(schema, "exclusiveMaximum", path);
  if (low && (!bounds.min || *low >= *bounds.min)) {
    bounds.min = low, bounds.min_exclusive = true, bounds.min_keyword = "exclusiveMinimum";
  }
  if (high && (!bounds.max || *high <= *bounds.max)) {
    bounds.max = high, bounds.max_exclusive = true, bounds.max_keyword = "exclusiveMaximum";
  }
  return bounds;
}

// The outermost integer inside of an end. The JSON value itself is read where it is an integer,
// because a double holds only 53 bits of it.
std::optional<int64_t> integer_end(const Json& schema, const std::optional<double>& end,
                                   const std::string& keyword, bool exclusive, bool lower,
                                   const std::string& path) {
  if (!end) return std::nullopt;
  const Json& value = schema[keyword];
  constexpr double kLimit = 9.2e18;
  if (std::abs(*end) > kLimit) reject(path + keyword, "is beyond 64-bit integers");
  int64_t result = 0;
  if (value.is_number_integer()) {
    result = value.get<int64_t>();
    if (exclusive) result += lower ? 1 : -1;
  } else {
    const double rounded = lower ? std::ceil(*end) : std::floor(*end);
    result = static_cast<int64_t>(rounded);
    if (exclusive && rounded == *end) result += lower ? 1 : -1;
  }
  return result;
}

ExprPtr listed_multiples(int64_t divisor, int64_t min, int64_t max, const std::string& path) {
  int64_t first = min / divisor;
  if (first * divisor < min) ++first;
  int64_t last = max / divisor;
  if (last * divisor > max) --last;
  if (last - first >= kMaxListed) {
    reject(path + "multipleOf", "its multiples between these bounds are too many");
  }
  std::vector<ExprPtr> options;
  for (int64_t k = first; k <= last; ++k) options.push_back(literal(std::to_string(k * divisor)));
  return choice(std::move(options));
}

ExprPtr bounded_multiples(Grammar& grammar, int64_t divisor, std::optional<int64_t> min,
                          std::optional<int64_t> max, const std::string& path) {
  if (divisor == 1) return integer_between(min, max);
  if (min && max) return listed_multiples(divisor, *min, *max, path);
  const bool natural = min && *min > -divisor && *min <= 0;
  if (max || (min && !natural)) {
    reject(path + "multipleOf", "is supported beside both bounds, minimum 0 or none of them");
  }
  if (divisor > kMaxDivisor) {
    reject(path + "multipleOf",
           "is supported up to " + std::to_string(kMaxDivisor) + " without bounds");
  }
  return multiples(grammar, static_cast<int>(divisor), natural);
}

ExprPtr integer_value(Grammar& grammar, const Json& schema, int64_t divisor,
                      const std::string& path) {
  const Bounds bounds = bounds_of(schema, path);
  const auto min =
      integer_end(schema, bounds.min, bounds.min_keyword, bounds.min_exclusive, true, path);
  const auto max =
      integer_end(schema, bounds.max, bounds.max_keyword, bounds.max_exclusive, false, path);
  if (min && max && *min > *max) {
    reject(path + bounds.max_keyword, "no integer is left between the bounds");
  }
  return bounded_multiples(grammar, divisor, min, max, path);
}

std::optional<DecimalBound> decimal_end(const std::optional<double>& end,
                                        const std::string& keyword, bool exclusive,
                                        const std::string& path) {
  if (!end) return std::nullopt;
  auto bound = decimal_bound(*end, exclusive);
  if (!bound) reject(path + keyword, "has too many digits");
  return bound;
}

ExprPtr real_value(const Json& schema, std::optional<int> step_digits, const std::string& path) {
  const Bounds bounds = bounds_of(schema, path);
  if (!bounds.min && !bounds.max && !step_digits) return any_number();
  const auto min = decimal_end(bounds.min, bounds.min_keyword, bounds.min_exclusive, path);
  const auto max = decimal_end(bounds.max, bounds.max_keyword, bounds.max_exclusive, path);
  const bool exclusive = bounds.min_exclusive || bounds.max_exclusive;
  if (min && max && (*bounds.min > *bounds.max || (*bounds.min == *bounds.max && exclusive))) {
    reject(path + bounds.max_keyword, "no number is left between the bounds");
  }
  int digits = kFractionDigits;  // more where the ends have more
  for (const auto& end : {min, max}) {
    if (end) digits = std::max(digits, static_cast<int>(end->fraction.size()) + 1);
  }
  return number_between(min, max, step_digits.value_or(std::min(digits, kMaxFractionDigits)));
}

// k for 10^-k, by the shortest decimal of the value.
std::optional<int> power_of_ten(double step) {
  double power = 1;
  for (int k = 1; k <= kMaxFractionDigits; ++k) {
    power *= 10;
    if (step == 1 / power) return k;
  }
  return std::nullopt;
}

using Formats = std::map<std::string, std::string>;

Formats make_formats() {
  const std::string year = "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})";
  const std::string leap =
      "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)";
  const std::string date = "(?:" + year +
                           "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"
                           "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" +
                           leap + "-02-29)";
  const std::string time =
      "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?"
      "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
  const std::string label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
  const std::string host = label + "(?:\\." + label + ")*";
  const std::string atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,16}";
  const std::string byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  const std::string group = "[0-9A-Fa-f]{1,4}";
  std::string v6 =
      "(?:" + group + ":){7}" + group + "|:(?::" + group + "){1,7}|::|(?:" + group + ":){1,7}:";
  for (int before = 1; before <= 6; ++before) {
    v6 += "|(?:" + group + ":){" + std::to_string(before) + "}(?::" + group + "){1," +
          std::to_string(7 - before) + "}";
  }
  const std::string count = "[0-9]{1,9}";
  const std::string clock = "T(?:" + count + "H(?:" + count + "M)?(?:" + count + "S)?|" + count +
                            "M(?:" + count + "S)?|" + count + "S)";
  const std::string days = count + "D";
  const std::string months = count + "M(?:" + days + ")?";
  const std::string years = count + "Y(?:" + months + ")?";
  const std::string unit = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
  const std::string scheme = "[A-Za-z][A-Za-z0-9+.-]{0,15}";
  const std::string tail =
      "(?:/" + unit + "*)*(?:\\?(?:" + unit + "|[/?])*)?(?:#(?:" + unit + "|[/?])*)?";
  return {
      {"date", date},
      {"time", time},
      {"date-time", date + "T" + time},
      {"duration", "P(?:(?:" + years + "|" + months + "|" + days + ")(?:" + clock + ")?|" + clock +
                       "|" + count + "W)"},
      {"email", atom + "(?:\\." + atom + "){0,3}@" + host},
      {"hostname", label + "(?:\\." + label + "){0,3}"},
      {"ipv4", "(?:" + byte + "\\.){3}" + byte},
      {"ipv6", v6},
      {"uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"},
      {"uri", scheme + "://" + host + "(?::[0-9]{1,5})?" + tail},
  };
}

}  // namespace

std::optional<int> count_of(const Json& schema, const char* keyword, const std::string& path) {
  const auto member = schema.find(keyword);
  if (member == schema.end()) return std::nullopt;
  const double value = member->is_number() ? member->get<double>() : -1;
  if (value < 0 || value != std::floor(value) || value > kMaxCount) {
    reject(path + keyword, "must be an integer from 0 to " + std::to_string(kMaxCount));
  }
  return static_cast<int>(value);
}

std::string format_pattern(const std::string& format) {
  static const Formats formats = make_formats();
  const auto found = formats.find(format);
  return found == formats.end() ? std::string() : found->second;
}

ExprPtr string_value(JsonText& json, const Json& schema, const std::string& path) {
  const auto min = count_of(schema, "minLength", path);
  const auto max = count_of(schema, "maxLength", path);
  const bool has_pattern = schema.contains("pattern"), has_format = schema.contains("format");
  for (const char* keyword : {"pattern", "format"}) {
    if (schema.contains(keyword) && !schema[keyword].is_string()) {
      reject(path + keyword, "must be a string");
    }
  }
  if (has_pattern && has_format) reject(path + "format", "is not supported beside pattern");
  if ((has_pattern || has_format) && (min.value_or(0) > 0 || max)) {
    reject(path + (max ? "maxLength" : "minLength"), "is not supported beside pattern or format");
  }
  if (has_pattern) return pattern_string(schema["pattern"].get<std::string>(), path + "pattern");
  if (has_format) {
    const std::string format = schema["format"].get<std::string>();
    const std::string pattern = format_pattern(format);
    if (pattern.empty()) reject(path + "format", "unknown format '" + format.substr(0, 64) + "'");
    return pattern_string(pattern, path + "format");
  }
  if (max && *max < min.value_or(0)) reject(path + "maxLength", "is less than minLength");
  return sequence({literal("\""),
                   repeat(json.string_character(), min.value_or(0), max.value_or(kUnbounded)),
                   literal("\"")});
}

ExprPtr number_value(Grammar& grammar, const Json& schema, bool integer, const std::string& path) {
  const auto step = number_of(schema, "multipleOf", path);
  if (step && !(*step > 0)) reject(path + "multipleOf", "must be greater than 0");
  if (step && *step == std::floor(*step)) {
    if (*step > 1e15) reject(path + "multipleOf", "is too large");
    return integer_value(grammar, schema, static_cast<int64_t>(*step), path);
  }
  if (!step)
    return integer ? integer_value(grammar, schema, 1, path) : real_value(schema, {}, path);
  const auto digits = power_of_ten(*step);
  if (!digits) reject(path + "multipleOf", "is supported for integers and for 0.1, 0.01, ...");
  return integer ? integer_value(grammar, schema, 1, path) : real_value(schema, digits, path);
}

}  // namespace saccade::grammar
