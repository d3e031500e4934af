#pragma once

// Code-point level text functions with Python's str semantics.

#include <unicode/umachine.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/prompt/template/marked_text.h"

namespace saccade::jinja {

bool is_valid_utf8(std::string_view text);
bool is_ascii(std::string_view text);
// Number of code points (valid UTF-8).
size_t count_code_points(std::string_view text);
// Decodes the code point at `offset` and advances `offset` behind it.
UChar32 next_code_point(std::string_view text, size_t& offset);
// Decodes the code point that ends at `offset` and moves `offset` to its start.
UChar32 previous_code_point(std::string_view text, size_t& offset);
void append_utf8(std::string& out, UChar32 code_point);
// Byte offset of each code point, plus text.size() at the end.
std::vector<size_t> code_point_offsets(std::string_view text);

bool is_space(UChar32 c);      // str.isspace
bool is_printable(UChar32 c);  // str.isprintable; false means repr() escapes it
bool is_word(UChar32 c);       // re's \w
bool is_line_break(UChar32 c);

enum class CaseMapping { kUpper, kLower, kFold, kSwap, kTitle, kCapitalize };
// str.upper(), lower(), casefold(), swapcase(), title() or capitalize(); marks are kept.
MarkedText map_case(const MarkedText& text, CaseMapping mapping);

enum class CharTest {
  kAlnum,
  kAlpha,
  kAscii,
  kDecimal,
  kDigit,
  kIdentifier,
  kLower,
  kNumeric,
  kPrintable,
  kSpace,
  kTitle,
  kUpper
};
// str.isalnum() and its siblings.
bool test_characters(std::string_view text, CharTest test);

}  // namespace saccade::jinja
