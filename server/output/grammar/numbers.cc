#include "server/output/grammar/numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace saccade::grammar {
namespace {

ExprPtr digits(char first, char last) {
  return chars({{static_cast<char32_t>(first), static_cast<char32_t>(last)}});
}
ExprPtr any_digits(int min, int max) { return repeat(digits('0', '9'), min, max); }
ExprPtr nothing() { return choice({}); }

// Digit texts of the length of `low`, which is that of `high`, from `low` to `high`.
ExprPtr same_length(const std::string& low, const std::string& high, size_t at = 0) {
  if (at == low.size()) return literal("");
  const int rest = static_cast<int>(low.size() - at - 1);
  if (low.find_first_not_of('0', at) == std::string::npos &&
      high.find_first_not_of('9', at) == std::string::npos) {
    return any_digits(rest + 1, rest + 1);
  }
  if (low[at] == high[at]) {
    return sequence({literal(low.substr(at, 1)), same_length(low, high, at + 1)});
  }
  const std::string nines(low.size(), '9'), zeros(low.size(), '0');
  std::vector<ExprPtr> options;
  options.push_back(sequence({literal(low.substr(at, 1)), same_length(low, nines, at + 1)}));
  if (high[at] - low[at] > 1) {
    options.push_back(
        sequence({digits(static_cast<char>(low[at] + 1), static_cast<char>(high[at] - 1)),
                  any_digits(rest, rest)}));
  }
  options.push_back(sequence({literal(high.substr(at, 1)), same_length(zeros, high, at + 1)}));
  return choice(std::move(options));
}

ExprPtr natural_from(uint64_t min) {
  const std::string low = std::to_string(min);
  return choice(
      {same_length(low, std::string(low.size(), '9')),
       sequence({digits('1', '9'), any_digits(static_cast<int>(low.size()), kUnbounded)})});
}

ExprPtr natural_between(uint64_t min, uint64_t max) {
  if (max < min) return nothing();
  const std::string low = std::to_string(min), high = std::to_string(max);
  std::vector<ExprPtr> options;
  for (size_t length = low.size(); length <= high.size(); ++length) {
    const std::string from = length == low.size() ? low : "1" + std::string(length - 1, '0');
    options.push_back(same_length(from, length == high.size() ? high : std::string(length, '9')));
  }
  return choice(std::move(options));
}

// Fraction digits of a number whose integer part is that of the ends it is compared with.
struct FractionRange {
  const std::string* low = nullptr;  // null: no lower end
  const std::string* high = nullptr;
  bool low_exclusive = false, high_exclusive = false;
  int max_digits = 0;
};

bool only_zeros(const std::string& text, size_t from) {
  return from >= text.size() || text.find_first_not_of('0', from) == std::string::npos;
}

char digit_at(const std::string& text, size_t at) { return at < text.size() ? text[at] : '0'; }

// Whether the number may end here, its digits so far being those of the tight ends.
bool may_end(const FractionRange& range, size_t at) {
  if (range.low && (!only_zeros(*range.low, at) || range.low_exclusive)) return false;
  return !range.high || !only_zeros(*range.high, at) || !range.high_exclusive;
}

ExprPtr fraction_digits(const FractionRange& range, size_t at);

// At least one more digit.
ExprPtr more_digits(const FractionRange& range, size_t at) {
  const int left = range.max_digits - static_cast<int>(at);
  if (left <= 0) return nothing();
  if (!range.low && !range.high) return any_digits(1, left);
  const char low = range.low ? digit_at(*range.low, at) : '0';
  const char high = range.high ? digit_at(*range.high, at) : '9';
  std::vector<ExprPtr> options;
  char first = low, last = high;
  const auto tight = [&](char digit, bool on_low, bool on_high) {
    FractionRange next = range;
    if (!on_low) next.low = nullptr;
    if (!on_high) next.high = nullptr;
    options.push_back(sequence({literal(std::string(1, digit)), fraction_digits(next, at + 1)}));
  };
  if (range.low && range.high && low == high) {
    tight(low, true, true);
    return choice(std::move(options));
  }
  if (low > high) return nothing();
  if (range.low) tight(low, true, false), ++first;
  if (range.high) tight(high, false, true), --last;
  if (first <= last) {
    options.push_back(sequence({digits(first, last), any_digits(0, left - 1)}));
  }
  return choice(std::move(options));
}

ExprPtr fraction_digits(const FractionRange& range, size_t at) {
  if (!range.low && !range.high) {
    return any_digits(0, range.max_digits - static_cast<int>(at));
  }
  std::vector<ExprPtr> options = {more_digits(range, at)};
  if (may_end(range, at)) options.push_back(literal(""));
  return choice(std::move(options));
}

// What follows the integer part: nothing, or a point and digits.
ExprPtr fraction(const FractionRange& range) {
  std::vector<ExprPtr> options = {sequence({literal("."), more_digits(range, 0)})};
  if (may_end(range, 0)) options.push_back(literal(""));
  return choice(std::move(options));
}

// Non-negative numbers; the ends are, too.
ExprPtr magnitude_between(const DecimalBound& min, const std::optional<DecimalBound>& max,
                          int max_fraction) {
  if (max && max->integer < min.integer) return nothing();
  FractionRange range;
  range.max_digits = max_fraction;
  const FractionRange free = range;
  const auto with_low = [&](FractionRange& r) {
    r.low = &min.fraction;
    r.low_exclusive = min.exclusive;
  };
  const auto with_high = [&](FractionRange& r) {
    r.high = &max->fraction;
    r.high_exclusive = max->exclusive;
  };
  if (max && max->integer == min.integer) {
    with_low(range);
    with_high(range);
    return sequence({literal(std::to_string(min.integer)), fraction(range)});
  }
  std::vector<ExprPtr> options;
  FractionRange at_low = range;
  with_low(at_low);
  options.push_back(sequence({literal(std::to_string(min.integer)), fraction(at_low)}));
  if (min.integer < std::numeric_limits<uint64_t>::max()) {
    options.push_back(sequence(
        {max ? natural_between(min.integer + 1, max->integer - 1) : natural_from(min.integer + 1),
         fraction(free)}));
  }
  if (max) {
    FractionRange at_high = range;
    with_high(at_high);
    options.push_back(sequence({literal(std::to_string(max->integer)), fraction(at_high)}));
  }
  return choice(std::move(options));
}

uint64_t magnitude(int64_t value) {
  return value < 0 ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value);
}

}  // namespace

ExprPtr integer_between(std::optional<int64_t> min, std::optional<int64_t> max) {
  std::vector<ExprPtr> options;
  if (!max || *max >= 0) {
    const uint64_t low = min && *min > 0 ? magnitude(*min) : 0;
    options.push_back(max ? natural_between(low, magnitude(*max)) : natural_from(low));
  }
  if (!min || *min < 0) {
    const uint64_t low = max && *max < 0 ? magnitude(*max) : 1;
    options.push_back(
        sequence({literal("-"), min ? natural_between(low, magnitude(*min)) : natural_from(low)}));
  }
  return choice(std::move(options));
}

// The automaton of long division: one rule for each remainder.
ExprPtr multiples(Grammar& grammar, int divisor, bool non_negative) {
  std::vector<int> remainders;
  for (int r = 0; r < divisor; ++r) remainders.push_back(grammar.add_rule());
  const auto step = [&](int remainder, char from) {
    std::vector<ExprPtr> options;
    for (char digit = from; digit <= '9'; ++digit) {
      const int next = (remainder * 10 + (digit - '0')) % divisor;
      options.push_back(
          sequence({literal(std::string(1, digit)), rule(remainders[static_cast<size_t>(next)])}));
    }
    return options;
  };
  for (int r = 0; r < divisor; ++r) {
    std::vector<ExprPtr> options = step(r, '0');
    if (r == 0) options.push_back(literal(""));
    grammar.define(remainders[static_cast<size_t>(r)], choice(std::move(options)));
  }
  const ExprPtr positive = choice(step(0, '1'));
  std::vector<ExprPtr> options = {literal("0"), positive};
  if (!non_negative) options.push_back(sequence({literal("-"), positive}));
  return choice(std::move(options));
}

std::optional<DecimalBound> decimal_bound(double value, bool exclusive) {
  constexpr double kIntegerLimit = 18446744073709549568.0;  // largest double below 2^64
  constexpr size_t kMaxFraction = 40;
  if (!std::isfinite(value) || std::abs(value) > kIntegerLimit) return std::nullopt;
  char text[512];
  const auto end =
      std::to_chars(text, text + sizeof text, std::abs(value), std::chars_format::fixed);
  if (end.ec != std::errc()) return std::nullopt;
  const std::string decimal(text, end.ptr);
  DecimalBound bound;
  bound.negative = value < 0;
  bound.exclusive = exclusive;
  const size_t point = std::min(decimal.find('.'), decimal.size());
  std::from_chars(decimal.data(), decimal.data() + point, bound.integer);
  if (point < decimal.size()) bound.fraction = decimal.substr(point + 1);
  bound.fraction.erase(bound.fraction.find_last_not_of('0') + 1);
  if (bound.fraction.size() > kMaxFraction) return std::nullopt;
  return bound;
}

ExprPtr number_between(const std::optional<DecimalBound>& min,
                       const std::optional<DecimalBound>& max, int max_fraction) {
  std::vector<ExprPtr> options;
  DecimalBound zero;
  if (!max || !max->negative) {
    const bool from_min = min && !min->negative;
    options.push_back(magnitude_between(from_min ? *min : zero, max, max_fraction));
  }
  if (!min || min->negative) {
    const bool to_max = max && max->negative;
    zero.exclusive = true;  // there is no "-0"
    options.push_back(
        sequence({literal("-"), magnitude_between(to_max ? *max : zero, min, max_fraction)}));
  }
  return choice(std::move(options));
}

ExprPtr any_number() {
  return sequence(
      {optional(literal("-")),
       choice({literal("0"), sequence({digits('1', '9'), any_digits(0, kUnbounded)})}),
       optional(sequence({literal("."), any_digits(1, kUnbounded)})),
       optional(sequence({chars({{'E', 'E'}, {'e', 'e'}}),
                          optional(chars({{'+', '+'}, {'-', '-'}})), any_digits(1, 2)}))});
}

}  // namespace saccade::grammar
