#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "server/output/grammar/expr.h"

namespace saccade::grammar {

// JSON integers from `min` to `max`, both included; an end that is not given is open. Without a
// leading zero, exponent or "-0". Matches nothing when the range is empty.
ExprPtr integer_between(std::optional<int64_t> min, std::optional<int64_t> max);

// Multiples of `divisor` (> 0) without an end on either side; `non_negative`: from 0 on.
ExprPtr multiples(Grammar& grammar, int divisor, bool non_negative);

// An end of a range of real numbers, in decimal.
struct DecimalBound {
  bool negative = false;
  uint64_t integer = 0;
  std::string fraction;    // digits behind the point, without trailing zeros
  bool exclusive = false;  // the end itself is out of range

  bool is_zero() const { return integer == 0 && fraction.empty(); }
};
// None for what needs more than 64 bits before or 40 digits behind the point.
std::optional<DecimalBound> decimal_bound(double value, bool exclusive);

// JSON numbers in the range, in plain notation with at most `max_fraction` digits behind the point.
ExprPtr number_between(const std::optional<DecimalBound>& min,
                       const std::optional<DecimalBound>& max, int max_fraction);

// Any JSON number (RFC 8259, section 6).
ExprPtr any_number();

}  // namespace saccade::grammar
