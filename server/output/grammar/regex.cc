#include "server/output/grammar/regex.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "server/output/grammar/utf8.h"

namespace saccade::grammar {
namespace {

constexpr int64_t kMaxRepeated = 100'000;  // of quantifiers inside one another, multiplied

const CharSet kDigits = {{'0', '9'}};
const CharSet kWord = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CharSet kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
// White space in every dialect. ECMA-262 and Python each count some more, so \S leaves them out,
// too.
const CharSet kSpace = {{'\t', '\r'},     {' ', ' '},       {0xa0, 0xa0},
                        {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029},
                        {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
const CharSet kMaybeSpace = {{0x1c, 0x1f}, {0x85, 0x85}, {0xfeff, 0xfeff}};

struct Escape {
  char32_t character;
  const char* text;
};
constexpr Escape kJsonEscapes[] = {{'"', "\\\""}, {'\\', "\\\\"}, {'\b', "\\b"}, {'\f', "\\f"},
                                   {'\n', "\\n"}, {'\r', "\\r"},  {'\t', "\\t"}};

bool contains(const CharSet& set, char32_t c) {
  return std::any_of(set.begin(), set.end(),
                     [c](const CharRange& range) { return range.first <= c && c <= range.last; });
}

class RegexParser {
 public:
  RegexParser(std::string_view pattern, TextContext context)
      : pattern_(pattern), context_(context) {}

  ExprPtr parse() {
    std::vector<ExprPtr> alternatives;
    do {
      alternatives.push_back(top_alternative());
    } while (take('|'));
    if (!done()) fail("an unmatched )");
    return choice(std::move(alternatives));
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw GrammarError{"", "the pattern has " + what + " at character " + std::to_string(at_ + 1)};
  }

  bool done() const { return at_ >= pattern_.size(); }
  char peek() const { return done() ? '\0' : pattern_[at_]; }
  bool looking_at(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!looking_at(text)) return false;
    at_ += text.size();
    return true;
  }
  bool take(char c) { return take(std::string_view(&c, 1)); }

  char32_t code_point() {
    const auto c = take_code_point(pattern_, at_);
    if (!c) fail("ill-formed UTF-8");
    return *c;
  }

  ExprPtr one_of(const CharSet& set) const { return character(set, context_); }
  ExprPtr anything() const { return repeat(one_of(complement({})), 0, kUnbounded); }

  // Anchors count at the ends of the pattern's own alternatives.
  ExprPtr top_alternative() {
    bool from_start = false, to_end = false;
    while (take('^') || take("\\A")) from_start = true;
    std::vector<ExprPtr> parts;
    while (!done() && peek() != '|' && peek() != ')') {
      if (take('$') || take("\\Z") || take("\\z")) {
        to_end = true;
        if (!done() && peek() != '|' && peek() != '$') fail("a $ that is not at its end");
        continue;
      }
      parts.push_back(quantified());
    }
    if (from_start != to_end) {
      parts.insert(from_start ? parts.end() : parts.begin(), anything());
    }
    return sequence(std::move(parts));
  }

  ExprPtr alternatives() {
    if (++depth_ > kMaxGroupDepth) fail("groups that are nested too deeply");
    std::vector<ExprPtr> options;
    do {
      std::vector<ExprPtr> parts;
      while (!done() && peek() != '|' && peek() != ')') parts.push_back(quantified());
      options.push_back(sequence(std::move(parts)));
    } while (take('|'));
    --depth_;
    return choice(std::move(options));
  }

  ExprPtr quantified() {
    const int64_t outer = repeated_;
    repeated_ = 1;
    ExprPtr part = atom();
    int min = 1, max = 1;
    while (quantifier(min, max)) {
      repeated_ *= std::max({min, max, 1});
      if (repeated_ > kMaxRepeated) fail("too many repetitions inside one another");
      part = repeat(std::move(part), min, max);
    }
    repeated_ = std::max(outer, repeated_);
    return part;
  }

  bool quantifier(int& min, int& max) {
    if (take('*')) {
      min = 0, max = kUnbounded;
    } else if (take('+')) {
      min = 1, max = kUnbounded;
    } else if (take('?')) {
      min = 0, max = 1;
    } else if (peek() == '{' && counted(min, max)) {
    } else {
      return false;
    }
    take('?');  // lazy: the same texts
    if (peek() == '+') fail("a possessive quantifier");
    return true;
  }

  // {m}, {m,} or {m,n}; anything else in braces is text, as in ECMA's annex B.
  bool counted(int& min, int& max) {
    const size_t start = at_;
    ++at_;
    const std::optional<int> first = number();
    std::optional<int> last = first;
    if (first && take(',')) last = peek() == '}' ? std::optional<int>(kUnbounded) : number();
    if (!first || !last || !take('}')) {
      at_ = start;
      return false;
    }
    if (*last != kUnbounded && *last < *first) fail("a quantifier out of order");
    min = *first;
    max = *last;
    return true;
  }

  std::optional<int> number() {
    if (!std::isdigit(static_cast<unsigned char>(peek()))) return std::nullopt;
    int value = 0;
    while (std::isdigit(static_cast<unsigned char>(peek()))) {
      value = value * 10 + (pattern_[at_++] - '0');
      if (value > kMaxRepeat) {
        fail("a quantifier above " + std::to_string(kMaxRepeat));
      }
    }
    return value;
  }

  ExprPtr atom() {
    switch (peek()) {
      case '(':
        return group();
      case '[':
        return one_of(char_class());
      case '.':
        ++at_;
        return one_of(complement(kLineEnds));
      case '\\':
        return one_of(escaped(false));
      case '^':
      case '$':
        fail("an anchor inside of it");
      case '*':
      case '+':
      case '?':
        fail("a quantifier with nothing before it");
      default: {
        const char32_t c = code_point();
        return one_of({{c, c}});
      }
    }
  }

  ExprPtr group() {
    ++at_;
    if (take("?:")) {
    } else if (looking_at("?=") || looking_at("?!") || looking_at("?<=") || looking_at("?<!")) {
      fail("a look-around");
    } else if (take("?P<") || take("?<")) {
      while (!done() && peek() != '>') ++at_;
      if (!take('>')) fail("a group name without >");
    } else if (peek() == '?') {
      fail("a group of an unsupported kind");
    }
    ExprPtr inside = alternatives();
    if (!take(')')) fail("a group without )");
    return inside;
  }

  CharSet char_class() {
    ++at_;
    const bool negated = take('^');
    CharSet set;
    while (peek() != ']') {
      if (done()) fail("a class without ]");
      const CharSet first = class_member();
      const bool range = peek() == '-' && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != ']';
      if (!range || first.size() != 1 || first[0].first != first[0].last) {
        set.insert(set.end(), first.begin(), first.end());
        continue;
      }
      ++at_;
      const CharSet last = class_member();
      if (last.size() != 1 || last[0].first != last[0].last || last[0].last < first[0].first) {
        fail("a range out of order");
      }
      set.push_back({first[0].first, last[0].last});
    }
    ++at_;
    return negated ? complement(set) : normalized(std::move(set));
  }

  CharSet class_member() {
    if (peek() == '\\') return escaped(true);
    const char32_t c = code_point();
    return {{c, c}};
  }

  CharSet escaped(bool in_class) {
    ++at_;
    if (done()) fail("a \\ at its end");
    const char32_t c = code_point();
    const auto single = [](char32_t value) { return CharSet{{value, value}}; };
    switch (c) {
      case 'd':
        return kDigits;
      case 'D':
        return complement(kDigits);
      case 'w':
        return kWord;
      case 'W':
        return complement(kWord);
      case 's':
        return kSpace;
      case 'S':
        return intersection(complement(kSpace), complement(kMaybeSpace));
      case 'n':
        return single('\n');
      case 'r':
        return single('\r');
      case 't':
        return single('\t');
      case 'f':
        return single('\f');
      case 'v':
        return single('\v');
      case 'x':
        return single(hex(2));
      case 'u':
        return single(unicode_escape());
      case '0':
        return single(0);
      case 'b':
        if (in_class) return single('\b');
        fail("a word boundary");
      default:
        if (c >= '1' && c <= '9') fail("a back reference");
        if (c < 0x80 && std::isalpha(static_cast<int>(c))) fail("an unsupported escape");
        return single(c);
    }
  }

  char32_t hex(int digits) {
    char32_t value = 0;
    for (; digits > 0; --digits) {
      if (!std::isxdigit(static_cast<unsigned char>(peek()))) fail("a malformed escape");
      const char c = pattern_[at_++];
      value = value * 16 + static_cast<char32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
  }

  char32_t unicode_escape() {
    if (!take('{')) return hex(4);
    char32_t value = 0;
    while (peek() != '}') {
      value = value * 16 + hex(1);
      if (value > 0x10ffff) fail("a code point beyond Unicode");
    }
    ++at_;
    return value;
  }

  const std::string_view pattern_;
  const TextContext context_;
  size_t at_ = 0;
  int depth_ = 0;
  int64_t repeated_ = 1;  // how often the atom being read is repeated inside
};

}  // namespace

ExprPtr character(const CharSet& set, TextContext context) {
  if (context == TextContext::kPlain) return chars(set);
  std::vector<ExprPtr> forms;
  CharSet plain = intersection(set, json_unescaped());
  if (!plain.empty()) forms.push_back(chars(std::move(plain)));
  for (const Escape& escape : kJsonEscapes) {
    if (contains(set, escape.character)) forms.push_back(literal(escape.text));
  }
  return choice(std::move(forms));
}

ExprPtr regex(std::string_view pattern, TextContext context) {
  return RegexParser(pattern, context).parse();
}

}  // namespace saccade::grammar
