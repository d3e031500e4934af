#include "server/prompt/tokenizer/word_scanner.h"

#include <array>

#include "server/prompt/tokenizer/unicode.h"

namespace saccade {

const char* const kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

enum Kind : uint8_t { kLetterKind, kNumberKind, kSpaceKind, kOtherKind, kEndKind };

Kind kind_of(char32_t c) {
  const uint16_t flags = unicode::char_flags(c);
  if (flags & unicode::kLetter) return kLetterKind;
  if (flags & unicode::kNumber) return kNumberKind;
  return flags & unicode::kSpace ? kSpaceKind : kOtherKind;
}

struct Char {
  Kind kind;
  size_t length;  // bytes
};

class Scanner {
 public:
  Scanner(std::string_view text, std::vector<MatchSpan>& matches) : text_(text), matches_(matches) {
    static const std::array<Kind, 128> kAscii = [] {
      std::array<Kind, 128> kinds{};
      for (char32_t c = 0; c < 128; ++c) kinds[c] = kind_of(c);
      return kinds;
    }();
    ascii_ = kAscii.data();
  }

  void run_gpt2() {
    for (size_t pos = 0; pos < text_.size();) {
      size_t end = pos + contraction(pos, false);
      if (end == pos) end = gpt2_word(pos);
      if (end == pos) end = blank(pos, false);
      emit(pos, end);
    }
  }

  void run_cl100k(int max_digits) {
    for (size_t pos = 0; pos < text_.size();) {
      size_t end = pos + contraction(pos, true);
      if (end == pos) end = letters_with_prefix(pos);
      if (end == pos) end = run_of(kNumberKind, pos, max_digits);
      if (end == pos) end = symbols(pos);
      if (end == pos) end = blank(pos, true);
      emit(pos, end);
    }
  }

 private:
  void emit(size_t& pos, size_t end) {
    matches_.push_back({pos, end});
    pos = end;
  }

  Char at(size_t pos) const {
    if (pos >= text_.size()) return {kEndKind, 0};
    const auto lead = static_cast<unsigned char>(text_[pos]);
    if (lead < 0x80) return {ascii_[lead], 1};
    const size_t start = pos;
    const char32_t c = unicode::next_char(text_, pos);
    return {kind_of(c), pos - start};
  }
  char byte(size_t pos) const { return pos < text_.size() ? text_[pos] : '\0'; }
  static bool is_newline(char c) { return c == '\r' || c == '\n'; }

  size_t run_of(Kind kind, size_t pos, int most = -1) const {
    for (Char c = at(pos); c.kind == kind && most != 0; c = at(pos), --most) pos += c.length;
    return pos;
  }

  // Length of 's, 't, 're, 've, 'm, 'll or 'd at `pos`, or 0. Without case, U+017F (long s) is an
  // s.
  size_t contraction(size_t pos, bool ignore_case) const {
    if (byte(pos) != '\'') return 0;
    if (ignore_case && text_.substr(pos + 1, 2) == "\xC5\xBF") return 3;
    const auto letter = [&](size_t i) {
      const char c = byte(pos + i);
      return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    };
    switch (letter(1)) {
      case 's':
      case 't':
      case 'm':
      case 'd':
        return 2;
      case 'r':
      case 'v':
        return letter(2) == 'e' ? 3 : 0;
      case 'l':
        return letter(2) == 'l' ? 3 : 0;
      default:
        return 0;
    }
  }

  // ` ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+`
  size_t gpt2_word(size_t pos) const {
    const size_t start = byte(pos) == ' ' ? pos + 1 : pos;
    const Kind kind = at(start).kind;
    if (kind == kSpaceKind || kind == kEndKind) return pos;
    return run_of(kind, start);
  }

  // `[^\r\n\p{L}\p{N}]?\p{L}+`
  size_t letters_with_prefix(size_t pos) const {
    const Char first = at(pos);
    if (first.kind == kLetterKind) return run_of(kLetterKind, pos);
    if (first.kind == kNumberKind || is_newline(byte(pos))) return pos;
    const size_t start = pos + first.length;
    const size_t end = run_of(kLetterKind, start);
    return end > start ? end : pos;
  }

  // ` ?[^\s\p{L}\p{N}]+[\r\n]*`
  size_t symbols(size_t pos) const {
    const size_t start = byte(pos) == ' ' ? pos + 1 : pos;
    size_t end = run_of(kOtherKind, start);
    if (end == start) return pos;
    while (is_newline(byte(end))) ++end;
    return end;
  }

  // `\s*[\r\n]+|\s+(?!\S)|\s+`, the first only with `newlines`. `pos` is at a blank.
  size_t blank(size_t pos, bool newlines) const {
    size_t end = pos, last = pos, behind_newline = pos;
    for (Char c = at(end); c.kind == kSpaceKind; c = at(end)) {
      last = end;
      end += c.length;
      if (is_newline(text_[last])) behind_newline = end;
    }
    if (newlines && behind_newline > pos) return behind_newline;
    return end == text_.size() || last == pos ? end : last;
  }

  std::string_view text_;
  std::vector<MatchSpan>& matches_;
  const Kind* ascii_;
};

}  // namespace

std::optional<WordScanner> scanner_for(std::string_view pattern) {
  if (pattern == kGpt2Pattern) return WordScanner::kGpt2;
  if (pattern == kLlama3Pattern) return WordScanner::kLlama3;
  if (pattern == kQwen2Pattern) return WordScanner::kQwen2;
  return std::nullopt;
}

void scan_words(WordScanner scanner, std::string_view text, std::vector<MatchSpan>& matches) {
  Scanner run(text, matches);
  if (scanner == WordScanner::kGpt2) {
    run.run_gpt2();
  } else {
    run.run_cl100k(scanner == WordScanner::kLlama3 ? 3 : 1);
  }
}

}  // namespace saccade
