#pragma once

#include <cstdint>
#include <vector>

#include "server/output/grammar/expr.h"

namespace saccade::grammar {

struct ByteRange {
  uint8_t low;
  uint8_t high;
};

// The well-formed UTF-8 of code points first ... last (no surrogates among them), as sequences of
// one to four byte ranges, disjoint.
std::vector<std::vector<ByteRange>> utf8_ranges(char32_t first, char32_t last);

}  // namespace saccade::grammar
