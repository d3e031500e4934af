#include "server/output/grammar/ebnf.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <string>

#include "server/output/grammar/utf8.h"

namespace saccade::grammar {
namespace {

bool is_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
}

class EbnfParser {
 public:
  EbnfParser(Grammar& grammar, std::string_view text) : grammar_(grammar), text_(text) {}

  ExprPtr parse() {
    for (skip_space(); !done(); skip_space()) {
      const std::string name = identifier();
      skip_space();
      if (!take("::=")) fail("::= is missing after " + name);
      Rule& rule = rule_of(name);
      if (rule.defined) fail("the rule " + name + " is defined twice");
      rule.defined = true;
      grammar_.define(rule.id, alternatives());
    }
    for (const auto& [name, rule] : rules_) {
      if (!rule.defined) throw GrammarError{"", "the rule " + name + " is used and not defined"};
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) throw GrammarError{"", "there is no rule root"};
    return rule(root->second.id);
  }

 private:
  struct Rule {
    int id = -1;
    bool defined = false;
  };

  static ExprPtr rule(int id) { return grammar::rule(id); }

  [[noreturn]] void fail(const std::string& what) const {
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<long>(at_), '\n');
    throw GrammarError{"", what + " (line " + std::to_string(line) + ")"};
  }

  bool done() const { return at_ >= text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  bool take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }

  void skip_space() {
    while (!done()) {
      if (std::isspace(static_cast<unsigned char>(peek()))) {
        ++at_;
      } else if (peek() == '#') {
        while (!done() && peek() != '\n') ++at_;
      } else {
        return;
      }
    }
  }

  Rule& rule_of(const std::string& name) {
    Rule& rule = rules_[name];
    if (rule.id < 0) rule.id = grammar_.add_rule();
    return rule;
  }

  std::string identifier() {
    const size_t start = at_;
    while (!done() && is_name(peek())) ++at_;
    if (at_ == start) fail("a rule's name is expected");
    return std::string(text_.substr(start, at_ - start));
  }

  // A name that is followed by ::= begins the next rule.
  bool at_rule() {
    const size_t start = at_;
    while (!done() && is_name(peek())) ++at_;
    skip_space();
    const bool found = at_ > start && text_.substr(at_).starts_with("::=");
    at_ = start;
    return found;
  }

  ExprPtr alternatives() {
    if (++depth_ > kMaxGroupDepth) fail("groups are nested too deeply");
    std::vector<ExprPtr> options;
    do {
      options.push_back(sequence_of());
      skip_space();
    } while (take("|"));
    --depth_;
    return choice(std::move(options));
  }

  ExprPtr sequence_of() {
    std::vector<ExprPtr> parts;
    for (skip_space(); !done() && peek() != '|' && peek() != ')'; skip_space()) {
      if (is_name(peek()) && at_rule()) break;
      parts.push_back(quantified());
    }
    return sequence(std::move(parts));
  }

  ExprPtr quantified() {
    ExprPtr part = atom();
    for (;;) {
      if (take("*")) {
        part = repeat(part, 0, kUnbounded);
      } else if (take("+")) {
        part = repeat(part, 1, kUnbounded);
      } else if (take("?")) {
        part = optional(part);
      } else if (take("{")) {
        const int min = number().value_or(0);
        int max = min;
        if (skip_space(), take(",")) {
          skip_space();
          max = number().value_or(kUnbounded);
        }
        skip_space();
        if (!take("}")) fail("} is missing");
        if (max != kUnbounded && max < min) fail("a repetition out of order");
        part = repeat(part, min, max);
      } else {
        return part;
      }
    }
  }

  std::optional<int> number() {
    if (!std::isdigit(static_cast<unsigned char>(peek()))) return std::nullopt;
    int value = 0;
    while (std::isdigit(static_cast<unsigned char>(peek()))) {
      value = value * 10 + (text_[at_++] - '0');
      if (value > kMaxRepeat) fail("a repetition above " + std::to_string(kMaxRepeat));
    }
    return value;
  }

  ExprPtr atom() {
    if (take("(")) {
      ExprPtr inside = alternatives();
      if (!take(")")) fail(") is missing");
      return inside;
    }
    if (take("\"")) return quoted();
    if (take("[")) return char_class();
    if (take(".")) return chars(complement({}));
    if (is_name(peek())) return rule(rule_of(identifier()).id);
    fail("unexpected '" + std::string(1, peek()) + "'");
  }

  ExprPtr quoted() {
    std::vector<ExprPtr> parts;
    while (!take("\"")) {
      if (done() || peek() == '\n') fail("a closing quote is missing");
      const char32_t c = character();
      parts.push_back(chars({{c, c}}));
    }
    return sequence(std::move(parts));
  }

  ExprPtr char_class() {
    const bool negated = take("^");
    CharSet set;
    while (!take("]")) {
      if (done()) fail("] is missing");
      const char32_t first = character();
      char32_t last = first;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        last = character();
        if (last < first) fail("a range out of order");
      }
      set.push_back({first, last});
    }
    return chars(negated ? complement(set) : set);
  }

  char32_t character() {
    const auto c = take_code_point(text_, at_);
    if (!c) fail("ill-formed UTF-8");
    return *c == '\\' ? escape() : *c;
  }

  char32_t escape() {
    if (done()) fail("a \\ at the end");
    const auto c = take_code_point(text_, at_);
    if (!c) fail("ill-formed UTF-8");
    switch (*c) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case 'b':
        return '\b';
      case '0':
        return 0;
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      default:
        if (*c < 0x80 && std::isalnum(static_cast<int>(*c))) fail("an unknown escape");
        return *c;
    }
  }

  char32_t hex(int digits) {
    char32_t value = 0;
    for (; digits > 0; --digits) {
      if (!std::isxdigit(static_cast<unsigned char>(peek()))) fail("a malformed escape");
      const char c = text_[at_++];
      value = value * 16 + static_cast<char32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (value > 0x10ffff) fail("a code point beyond Unicode");
    return value;
  }

  Grammar& grammar_;
  const std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  std::map<std::string, Rule> rules_;
};

}  // namespace

ExprPtr ebnf(Grammar& grammar, std::string_view text) { return EbnfParser(grammar, text).parse(); }

}  // namespace saccade::grammar
