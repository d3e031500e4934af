#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "server/output/grammar/expr.h"

namespace saccade::grammar {

struct ByteRange {
  uint8_t low;
  uint8_t high;
};

// The code point at `at`, which moves behind it. None where the text is ill-formed (RFC 3629).
std::optional<char32_t> take_code_point(std::string_view text, size_t& at);

// The well-formed UTF-8 of code points first ... last (no surrogates among them), as sequences of
// one to four byte ranges, disjoint.
std::vector<std::vector<ByteRange>> utf8_ranges(char32_t first, char32_t last);

}  // namespace saccade::grammar
