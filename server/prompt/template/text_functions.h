#pragma once

// String functions that methods and filters share. All keep the marks of every byte.

#include <optional>
#include <vector>

#include "server/prompt/template/value.h"

namespace saccade::jinja {

enum class Side : uint8_t { kBoth, kLeft, kRight };

// str.strip(chars) and its siblings; null `chars`: white space.
MarkedText strip(const MarkedText& text, const Value* chars, Side side);
// str.replace; `count` < 0: all.
MarkedText replace(Interpreter& interpreter, const MarkedText& text, const MarkedText& from,
                   const MarkedText& to, int64_t count);
// str.split and rsplit; null `separator`: runs of white space; `limit` < 0: none.
std::vector<MarkedText> split(Interpreter& interpreter, const MarkedText& text,
                              const MarkedText* separator, int64_t limit, bool from_right);
std::vector<MarkedText> split_lines(Interpreter& interpreter, const MarkedText& text,
                                    bool keep_ends);
MarkedText join(Interpreter& interpreter, const MarkedText& separator,
                const std::vector<MarkedText>& parts);
MarkedText reverse(const MarkedText& text);
// ljust, rjust and center: `before` and `behind` columns of `fill`.
MarkedText pad(Interpreter& interpreter, const MarkedText& text, const MarkedText& fill,
               int64_t before, int64_t behind);
MarkedText center(Interpreter& interpreter, const MarkedText& text, const MarkedText& fill,
                  int64_t width);

}  // namespace saccade::jinja
