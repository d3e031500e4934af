#include "server/prompt/template/unicode.h"

#include <unicode/uchar.h>
#include <unicode/ustring.h>
#include <unicode/utf8.h>

namespace saccade::jinja {

bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

bool is_valid_utf8(std::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    if (next_code_point(text, offset) < 0) return false;
  }
  return true;
}

size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

UChar32 next_code_point(std::string_view text, size_t& offset) {
  UChar32 c = 0;
  U8_NEXT(reinterpret_cast<const uint8_t*>(text.data()), offset, text.size(), c);
  return c;
}

UChar32 previous_code_point(std::string_view text, size_t& offset) {
  size_t start = offset - 1;
  while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
  offset = start;
  return next_code_point(text, start);
}

void append_utf8(std::string& out, UChar32 code_point) {
  uint8_t buffer[U8_MAX_LENGTH];
  int32_t length = 0;
  U8_APPEND_UNSAFE(buffer, length, code_point);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(length));
}

std::vector<size_t> code_point_offsets(std::string_view text) {
  std::vector<size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) offsets.push_back(i);
  }
  offsets.push_back(text.size());
  return offsets;
}

bool is_space(UChar32 c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
  if (c == 0x85 || c == 0x2028 || c == 0x2029) return true;
  return u_charType(c) == U_SPACE_SEPARATOR;
}

bool is_line_break(UChar32 c) {
  return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool is_printable(UChar32 c) {
  if (c < 0x80) return c >= 0x20 && c < 0x7F;
  switch (u_charType(c)) {
    case U_CONTROL_CHAR:
    case U_FORMAT_CHAR:
    case U_SURROGATE:
    case U_PRIVATE_USE_CHAR:
    case U_UNASSIGNED:
    case U_LINE_SEPARATOR:
    case U_PARAGRAPH_SEPARATOR:
    case U_SPACE_SEPARATOR:
      return false;
    default:
      return true;
  }
}

namespace {

bool is_decimal(UChar32 c) { return u_charType(c) == U_DECIMAL_DIGIT_NUMBER; }

bool is_digit(UChar32 c) {
  const int type = u_getIntPropertyValue(c, UCHAR_NUMERIC_TYPE);
  return type == U_NT_DECIMAL || type == U_NT_DIGIT;
}

bool is_numeric(UChar32 c) { return u_getIntPropertyValue(c, UCHAR_NUMERIC_TYPE) != U_NT_NONE; }

bool is_alpha(UChar32 c) { return (U_GET_GC_MASK(c) & U_GC_L_MASK) != 0; }

bool is_cased(UChar32 c) { return u_hasBinaryProperty(c, UCHAR_CASED); }

// Python lowers a capital sigma to the final form behind a cased letter and before no other one.
bool is_final_sigma(std::string_view text, size_t begin, size_t end) {
  bool cased_before = false;
  while (begin > 0 && !cased_before) {
    const UChar32 c = previous_code_point(text, begin);
    if (u_hasBinaryProperty(c, UCHAR_CASE_IGNORABLE)) continue;
    if (!is_cased(c)) return false;
    cased_before = true;
  }
  if (!cased_before) return false;
  while (end < text.size()) {
    const UChar32 c = next_code_point(text, end);
    if (!u_hasBinaryProperty(c, UCHAR_CASE_IGNORABLE)) return !is_cased(c);
  }
  return true;
}

enum class Form { kUpper, kLower, kTitle, kFold };

constexpr UChar32 kCapitalSigma = 0x3A3;
constexpr UChar32 kFinalSigma = 0x3C2;

std::string map_code_point(UChar32 c, Form form) {
  UChar source[2];
  int32_t source_length = 0;
  U16_APPEND_UNSAFE(source, source_length, c);
  UChar mapped[8];
  UErrorCode status = U_ZERO_ERROR;
  int32_t length = 0;
  if (form == Form::kLower) {
    length = u_strToLower(mapped, 8, source, source_length, "", &status);
  } else if (form == Form::kFold) {
    length = u_strFoldCase(mapped, 8, source, source_length, U_FOLD_CASE_DEFAULT, &status);
  } else if (form == Form::kUpper) {
    length = u_strToUpper(mapped, 8, source, source_length, "", &status);
  } else {
    length = u_strToTitle(mapped, 8, source, source_length, nullptr, "", &status);
  }
  std::string out;
  for (int32_t i = 0; i < length;) {
    UChar32 code_point = 0;
    U16_NEXT(mapped, i, length, code_point);
    append_utf8(out, code_point);
  }
  return out;
}

Form form_of(CaseMapping mapping, UChar32 c, bool first, bool after_cased) {
  switch (mapping) {
    case CaseMapping::kUpper:
      return Form::kUpper;
    case CaseMapping::kLower:
      return Form::kLower;
    case CaseMapping::kFold:
      return Form::kFold;
    case CaseMapping::kSwap:
      return u_isUUppercase(c) ? Form::kLower : Form::kUpper;
    case CaseMapping::kTitle:
      return after_cased ? Form::kLower : Form::kTitle;
    case CaseMapping::kCapitalize:
      return first ? Form::kTitle : Form::kLower;
  }
  return Form::kLower;
}

void append_mapped_ascii(std::string& out, char c, Form form) {
  const bool lower = form == Form::kLower || form == Form::kFold;
  if (lower && c >= 'A' && c <= 'Z') {
    c = static_cast<char>(c + 32);
  } else if (!lower && c >= 'a' && c <= 'z') {
    c = static_cast<char>(c - 32);
  }
  out.push_back(c);
}

}  // namespace

bool is_word(UChar32 c) {
  return c == '_' || is_alpha(c) || is_decimal(c) || is_digit(c) || is_numeric(c);
}

MarkedText map_case(const MarkedText& text, CaseMapping mapping) {
  MarkedText out;
  out.reserve(text.size());
  const std::string_view all = text.view();
  size_t offset = 0;
  bool after_cased = false;
  text.for_each_run(0, text.size(), [&](std::string_view run, bool from_user) {
    std::string mapped;
    mapped.reserve(run.size());
    const size_t stop = offset + run.size();
    while (offset < stop) {
      const size_t begin = offset;
      const UChar32 c = next_code_point(all, offset);
      const Form form = form_of(mapping, c, begin == 0, after_cased);
      after_cased = is_cased(c);
      if (c < 0x80) {
        append_mapped_ascii(mapped, static_cast<char>(c), form);
      } else if (c == kCapitalSigma && form == Form::kLower) {
        if (is_final_sigma(all, begin, offset)) {
          append_utf8(mapped, kFinalSigma);
        } else {
          mapped += map_code_point(c, form);
        }
      } else {
        mapped += map_code_point(c, form);
      }
    }
    out.append(mapped, from_user);
  });
  return out;
}

namespace {

bool all_characters(std::string_view text, bool (*predicate)(UChar32)) {
  size_t offset = 0;
  while (offset < text.size()) {
    if (!predicate(next_code_point(text, offset))) return false;
  }
  return true;
}

// islower() and isupper(): at least one cased character, none of the other case.
bool has_only_case(std::string_view text, bool upper) {
  bool found = false;
  size_t offset = 0;
  while (offset < text.size()) {
    const UChar32 c = next_code_point(text, offset);
    const bool is_upper = u_isUUppercase(c);
    const bool is_lower = u_isULowercase(c);
    if ((upper ? is_lower : is_upper) || u_charType(c) == U_TITLECASE_LETTER) return false;
    found = found || (upper ? is_upper : is_lower);
  }
  return found;
}

bool is_title(std::string_view text) {
  bool found = false;
  bool after_cased = false;
  size_t offset = 0;
  while (offset < text.size()) {
    const UChar32 c = next_code_point(text, offset);
    if (u_isUUppercase(c) || u_charType(c) == U_TITLECASE_LETTER) {
      if (after_cased) return false;
      after_cased = found = true;
    } else if (u_isULowercase(c)) {
      if (!after_cased) return false;
      after_cased = found = true;
    } else {
      after_cased = false;
    }
  }
  return found;
}

bool is_identifier(std::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    const bool first = offset == 0;
    const UChar32 c = next_code_point(text, offset);
    if (c == '_') continue;
    if (!u_hasBinaryProperty(c, first ? UCHAR_XID_START : UCHAR_XID_CONTINUE)) return false;
  }
  return !text.empty();
}

}  // namespace

bool test_characters(std::string_view text, CharTest test) {
  if (test == CharTest::kAscii) return is_ascii(text);
  if (test == CharTest::kPrintable) return all_characters(text, is_printable);
  if (text.empty()) return false;
  switch (test) {
    case CharTest::kAlnum:
      return all_characters(text, [](UChar32 c) { return c != '_' && is_word(c); });
    case CharTest::kAlpha:
      return all_characters(text, is_alpha);
    case CharTest::kDecimal:
      return all_characters(text, is_decimal);
    case CharTest::kDigit:
      return all_characters(text, is_digit);
    case CharTest::kIdentifier:
      return is_identifier(text);
    case CharTest::kLower:
      return has_only_case(text, false);
    case CharTest::kNumeric:
      return all_characters(text, is_numeric);
    case CharTest::kSpace:
      return all_characters(text, is_space);
    case CharTest::kTitle:
      return is_title(text);
    case CharTest::kUpper:
      return has_only_case(text, true);
    default:
      return false;
  }
}

}  // namespace saccade::jinja
