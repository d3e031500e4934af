#include "server/prompt/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <optional>

#include "engine/core/status.h"
#include "server/prompt/tokenizer/unicode.h"
#include "server/prompt/tokenizer/word_scanner.h"

namespace saccade {
namespace {

// Steps of one match attempt. The regexes in use need a few per character; a pattern that explodes
// runs into this within milliseconds.
constexpr uint32_t kMatchLimit = 1'000'000;
constexpr uint32_t kDepthLimit = 100'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kMaxPatternBytes = 64 * 1024;

struct MatchDeleter {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

// `text` with characters newer than PCRE2's Unicode tables replaced by older ones of the same
// class and length, or nothing when there is none of them.
std::optional<std::string> with_stand_ins(std::string_view text) {
  std::optional<std::string> copy;
  for (size_t pos = 0; pos < text.size();) {
    if (static_cast<unsigned char>(text[pos]) < 0xE0) {  // new characters are 3 or 4 bytes long
      ++pos;
      continue;
    }
    const size_t start = pos;
    const char32_t c = unicode::next_char(text, pos);
    const char32_t stand_in = unicode::regex_stand_in(c);
    if (stand_in == c) continue;
    if (!copy) copy.emplace(text);
    std::string bytes;
    unicode::append(bytes, stand_in);
    copy->replace(start, bytes.size(), bytes);
  }
  return copy;
}

}  // namespace

struct Regex::Impl {
  struct CodeDeleter {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  };
  struct ContextDeleter {
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  };
  std::optional<WordScanner> scanner;
  std::string literal;  // matched by search when not empty
  std::unique_ptr<pcre2_code, CodeDeleter> code;
  std::unique_ptr<pcre2_match_context, ContextDeleter> context;

  void compile(const std::string& pattern, const std::string& where);
  void find_literal(std::string_view text, std::vector<MatchSpan>& matches) const;
  void find_pattern(std::string_view text, std::vector<MatchSpan>& matches) const;
};

Regex::Regex() : impl_(std::make_unique<Impl>()) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Regex::Regex(const std::string& pattern, const std::string& where, bool allow_scanner) : Regex() {
  if (pattern.size() > kMaxPatternBytes) throw LoadError(where + ": the regex is too long");
  if (allow_scanner) impl_->scanner = scanner_for(pattern);
  if (!impl_->scanner) impl_->compile(pattern, where);
}

Regex Regex::literal(const std::string& text, const std::string& where) {
  if (text.empty()) throw LoadError(where + ": the pattern is empty");
  Regex regex;
  regex.impl_->literal = text;
  return regex;
}

void Regex::Impl::compile(const std::string& pattern, const std::string& where) {
  const std::string translated = translate_regex(pattern, where);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // In Ruby ^ and $ match at every line.
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                           options, &error, &offset, nullptr));
  if (!code) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(error, message, sizeof message);
    throw LoadError(where + ": the regex '" + pattern +
                    "' cannot be used: " + reinterpret_cast<const char*>(message));
  }
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // without JIT it is only slower
  context.reset(pcre2_match_context_create(nullptr));
  if (!context) throw LoadError(where + ": out of memory");
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_depth_limit(context.get(), kDepthLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
}

void Regex::Impl::find_literal(std::string_view text, std::vector<MatchSpan>& matches) const {
  for (size_t at = text.find(literal); at != std::string_view::npos;
       at = text.find(literal, at + literal.size())) {
    matches.push_back({at, at + literal.size()});
  }
}

void Regex::Impl::find_pattern(std::string_view text, std::vector<MatchSpan>& matches) const {
  const std::optional<std::string> copy = with_stand_ins(text);
  const std::string_view subject = copy ? *copy : text;
  const std::unique_ptr<pcre2_match_data, MatchDeleter> data(pcre2_match_data_create(1, nullptr));
  if (!data) return;
  size_t start = 0;
  std::optional<size_t> last_end;
  while (start <= subject.size()) {
    const int count =
        pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), start,
                    PCRE2_NO_UTF_CHECK, data.get(), context.get());
    if (count < 0) return;  // no match, or the step limit
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data.get());
    const size_t begin = span[0], end = span[1];
    if (begin > end) return;  // \K in a look-ahead
    if (begin == end && last_end == end) {
      if (start >= subject.size()) return;
      start += unicode::utf8_length(static_cast<unsigned char>(subject[start]));
      continue;
    }
    matches.push_back({begin, end});
    last_end = end;
    start = end;
  }
}

void Regex::find_all(std::string_view text, std::vector<MatchSpan>& matches) const {
  matches.clear();
  if (impl_->scanner) {
    scan_words(*impl_->scanner, text, matches);
  } else if (!impl_->literal.empty()) {
    impl_->find_literal(text, matches);
  } else {
    impl_->find_pattern(text, matches);
  }
}

}  // namespace saccade
