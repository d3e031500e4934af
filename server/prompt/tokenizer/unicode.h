#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// UTF-8 and the character classes of the reference tokenizers. Those classes come from several
// libraries with different Unicode versions (Oniguruma 16, Rust's std 17, unicode_categories 8,
// unicode-normalization 9), so each class below says whose it is.
namespace saccade::unicode {

// Where words begin, in SentencePiece's vocabularies.
inline constexpr std::string_view kWordMark = "\xE2\x96\x81";  // ▁

enum CharFlag : uint16_t {
  kLetter = 1 << 0,       // \p{L}, Unicode 16
  kNumber = 1 << 1,       // \p{N}, Unicode 16
  kSpace = 1 << 2,        // White_Space: \s of both regex engines, char::is_whitespace
  kNumeric = 1 << 3,      // char::is_numeric
  kWord = 1 << 4,         // \w of the regex crate
  kPunctuation = 1 << 5,  // ASCII punctuation or unicode_categories' is_punctuation
  kNonspacing = 1 << 6,   // unicode_categories' is_mark_nonspacing
  kCombining = 1 << 7,    // unicode-normalization's is_combining_mark
  kControl = 1 << 8,      // unicode_categories' is_other: Cc, Cf, Co, not unassigned
};

uint16_t char_flags(char32_t c);
inline bool has(char32_t c, uint16_t flags) { return (char_flags(c) & flags) != 0; }

// Bytes of the character that starts with `lead`, in valid UTF-8.
inline size_t utf8_length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

// The character at `pos` of valid UTF-8; moves `pos` behind it.
inline char32_t next_char(std::string_view text, size_t& pos) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[pos + i]); };
  const unsigned char lead = byte(0);
  char32_t c = lead;
  if (lead < 0x80) {
    pos += 1;
  } else if (lead < 0xE0) {
    c = (lead & 0x1Fu) << 6 | (byte(1) & 0x3Fu);
    pos += 2;
  } else if (lead < 0xF0) {
    c = (lead & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
    pos += 3;
  } else {
    c = (lead & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu);
    pos += 4;
  }
  return c;
}
inline char32_t char_at(std::string_view text, size_t pos) { return next_char(text, pos); }

// Start of the character that ends before `pos` (> 0).
inline size_t previous_start(std::string_view text, size_t pos) {
  do {
    --pos;
  } while (pos > 0 && (static_cast<unsigned char>(text[pos]) & 0xC0) == 0x80);
  return pos;
}

void append(std::string& out, char32_t c);

bool is_ascii(std::string_view text);

// Length of the well-formed UTF-8 sequence at the start of `bytes` (1..4), or minus the length of
// its maximal ill-formed part (-1..-3). `incomplete` is set when more bytes could complete it.
int scan_sequence(std::string_view bytes, bool& incomplete);

// Replaces every maximal ill-formed part by U+FFFD, as Rust's from_utf8_lossy does.
std::string to_valid(std::string_view bytes);
bool is_valid(std::string_view bytes);

// char::to_lowercase of Rust: one character may become several ("İ"); no context rules.
void append_lower(std::string& out, char32_t c);

// PCRE2 10.42 knows Unicode 14. This returns a character of the same UTF-8 length and the same
// general category that it does know, or `c` itself.
char32_t regex_stand_in(char32_t c);

}  // namespace saccade::unicode
