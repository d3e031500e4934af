#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace saccade {

struct MatchSpan {
  size_t begin, end;  // bytes
  friend bool operator==(const MatchSpan&, const MatchSpan&) = default;
};

// A regular expression of a tokenizer file. Those are written for Oniguruma (Ruby's syntax, Unicode
// 16); this class runs them on PCRE2 (UTF, UCP, JIT) after translating what the two read
// differently. The three regexes that nearly all byte-level tokenizers share are recognised and
// scanned by hand-written code that matches the same. Known gap: without case, Oniguruma also lets
// one character match several ("ß" and "ss"); PCRE2 does not.
class Regex {
 public:
  // Throws LoadError, beginning with `where`, when the pattern is malformed or uses a construct
  // that PCRE2 cannot express.
  Regex(const std::string& pattern, const std::string& where, bool allow_scanner = true);
  static Regex literal(const std::string& text, const std::string& where);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // All matches from left to right, as Oniguruma's iterator finds them (an empty match right
  // behind the previous match does not count). `text` is valid UTF-8. A match that exceeds the
  // step limit ends the search: the rest of the text counts as unmatched. Thread-safe.
  void find_all(std::string_view text, std::vector<MatchSpan>& matches) const;

 private:
  struct Impl;
  Regex();
  std::unique_ptr<Impl> impl_;
};

// Oniguruma's Ruby syntax to PCRE2's. Exposed for tests.
std::string translate_regex(const std::string& pattern, const std::string& where);

}  // namespace saccade
