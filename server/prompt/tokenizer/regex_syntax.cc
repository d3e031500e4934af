// Oniguruma's Ruby syntax to PCRE2's.
#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "server/prompt/tokenizer/regex.h"

namespace saccade {
namespace {

// Members of Oniguruma's \s and \w for use inside a class. PCRE2's \s has U+180E on top, and its \w
// lacks marks, connectors, alphabetic symbols and Oniguruma's digits and fractions of Latin-1.
constexpr std::string_view kSpaceMembers =
    R"(\t-\r\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kWordMembers =
    R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";

constexpr std::array<std::string_view, 38> kCategories = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd", "Nl",
    "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk",
    "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Cn", "Co", "Cs", "Any"};

class Translator {
 public:
  Translator(const std::string& pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    while (pos_ < in_.size()) {
      const char c = in_[pos_];
      if (depth_ == 0 && !is_quantifier(c) && c != ')') atom_ = out_.size();
      if (c == '\\') {
        escape();
      } else if (depth_ > 0) {
        class_member();
      } else if (c == '[') {
        open_class();
      } else if (c == '(') {
        group();
      } else if (c == '}' && next(1) == '+') {
        repeat_again();
      } else {
        if (c == ')') atom_ = pop_group();
        out_ += c;
        ++pos_;
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw LoadError(where_ + ": the regex '" + in_ + "' " + why);
  }
  char next(size_t offset) const { return pos_ + offset < in_.size() ? in_[pos_ + offset] : '\0'; }

  void open_class() {
    depth_ = 1;
    out_ += '[';
    ++pos_;
    if (next(0) == '^') {
      out_ += '^';
      ++pos_;
    }
    if (next(0) == ']') {  // a first ']' is a member
      out_ += "\\]";
      ++pos_;
    }
  }

  void class_member() {
    const char c = in_[pos_];
    if (c == '[' && next(1) == ':') {
      fail("has a POSIX bracket, which is not supported");
    } else if (c == '[') {
      fail("has a class inside a class, which is not supported");
    } else if (c == '&' && next(1) == '&') {
      fail("has an intersection of classes, which is not supported");
    } else if (c == ']') {
      depth_ = 0;
    }
    out_ += c;
    ++pos_;
  }

  static bool is_quantifier(char c) {
    return c == '?' || c == '*' || c == '+' || c == '{' || c == '}' || c == ',' ||
           (c >= '0' && c <= '9');
  }

  // Opens a group. Of the options, the one that lets the dot match a newline is m in Ruby and s in
  // PCRE2.
  void group() {
    groups_.push_back(out_.size());
    out_ += '(';
    ++pos_;
    if (next(0) != '?') return;
    size_t end = pos_ + 1;
    while (end < in_.size() && std::string_view("imx-").find(in_[end]) != std::string_view::npos) {
      ++end;
    }
    const bool options = end > pos_ + 1 && end < in_.size() && (in_[end] == ':' || in_[end] == ')');
    out_ += '?';
    ++pos_;
    for (; options && pos_ < end; ++pos_) out_ += in_[pos_] == 'm' ? 's' : in_[pos_];
  }

  size_t pop_group() {
    if (groups_.empty()) fail("closes a group that is not open");
    const size_t start = groups_.back();
    groups_.pop_back();
    return start;
  }

  // "X{1,3}+": Ruby repeats the repetition, PCRE2 would make it possessive.
  void repeat_again() {
    if (in_.rfind('{', pos_) == std::string::npos || atom_ >= out_.size()) {
      fail("has a repetition of nothing");
    }
    out_.insert(atom_, "(?:");
    out_ += "})+";
    pos_ += 2;
  }

  void set(std::string_view members, bool negated) {
    if (depth_ == 0) {
      out_ += negated ? "[^" : "[";
      out_ += members;
      out_ += ']';
      return;
    }
    if (negated) fail("has a negated shorthand inside a class, which is not supported");
    out_ += members;
  }

  void escape() {
    const char c = next(1);
    if (c == '\0') fail("ends in a backslash");
    if (c == 'p' || c == 'P') {
      property();
      return;
    }
    pos_ += 2;
    if (c == 's') {
      set(kSpaceMembers, false);
    } else if (c == 'S' && depth_ > 0) {
      not_space_in_class();
    } else if (c == 'S') {
      set(kSpaceMembers, true);
    } else if (c == 'w' || c == 'W') {
      set(kWordMembers, c == 'W');
    } else if (c == 'h' || c == 'H') {
      set("0-9a-fA-F", c == 'H');
    } else if ((c == 'b' || c == 'B') && depth_ == 0) {
      word_border(c == 'B');
    } else if (c == 'u') {
      code_point();
    } else if (c == 'x' && next(0) == '{') {
      const size_t close = in_.find('}', pos_);
      if (close == std::string::npos) fail("has an open \\x{");
      out_ += "\\x" + in_.substr(pos_, close + 1 - pos_);
      pos_ = close + 1;
    } else {
      out_ += '\\';
      out_ += c;
    }
  }

  // The complement of \s, written out: PCRE2 cannot nest a negated class.
  void not_space_in_class() {
    out_ +=
        R"(\x00-\x08\x0e-\x1f\x21-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff})"
        R"(\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
  }

  void word_border(bool negated) {
    const std::string word = "[" + std::string(kWordMembers) + "]";
    out_ += negated ? "(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))"
                    : "(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))";
  }

  // \uHHHH
  void code_point() {
    if (pos_ + 4 > in_.size()) fail("has a short \\u");
    out_ += "\\x{" + in_.substr(pos_, 4) + "}";
    pos_ += 4;
  }

  // \p{..} and \P{..}: a general category, or else a script (PCRE2 would take script extensions).
  void property() {
    const size_t close = in_.find('}', pos_);
    if (next(2) != '{' || close == std::string::npos) fail("has a malformed property");
    std::string name = in_.substr(pos_ + 3, close - pos_ - 3);
    const bool inverted = !name.empty() && name[0] == '^';
    if (inverted) name.erase(0, 1);
    const bool negated = (next(1) == 'P') != inverted;
    pos_ = close + 1;
    const bool category =
        std::find(kCategories.begin(), kCategories.end(), name) != kCategories.end();
    if (!category) name = long_name(name);
    out_ += negated ? "\\P{" : "\\p{";
    out_ += name + "}";
  }

  std::string long_name(const std::string& name) const {
    static constexpr std::pair<std::string_view, std::string_view> kNames[] = {
        {"Letter", "L"},         {"Mark", "M"},          {"Number", "N"},
        {"Punctuation", "P"},    {"Punct", "P"},         {"Symbol", "S"},
        {"Other", "C"},          {"Separator", "Z"},     {"Alphabetic", "Alphabetic"},
        {"Alpha", "Alphabetic"}, {"Upper", "Uppercase"}, {"Lower", "Lowercase"}};
    for (const auto& [from, to] : kNames) {
      if (name == from) return std::string(to);
    }
    return "sc:" + name;
  }

  const std::string& in_;
  const std::string& where_;
  std::string out_;
  size_t pos_ = 0;
  int depth_ = 0;               // 1 inside a class
  size_t atom_ = 0;             // where the last repeatable item starts in out_
  std::vector<size_t> groups_;  // where the open groups start in out_
};

}  // namespace

std::string translate_regex(const std::string& pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace saccade
