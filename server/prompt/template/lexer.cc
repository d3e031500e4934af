#include "server/prompt/template/lexer.h"

#include <algorithm>
#include <array>

#include "server/prompt/template/numbers.h"
#include "server/prompt/template/unicode.h"
#include "server/prompt/template/value.h"

namespace saccade::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

// \r\n and \r become \n; one newline at the end of the template is dropped.
std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize_newlines(source)), text_(source_) {}

  std::vector<Token> run() {
    if (!is_valid_utf8(text_)) throw TemplateError("the template is not valid UTF-8");
    while (position_ < text_.size()) read_data();
    emit(TokenType::kEnd, "");
    return std::move(tokens_);
  }

 private:
  enum class Tag { kVariable, kBlock, kComment };

  void emit(TokenType type, std::string text) {
    Token token;
    token.type = type;
    token.line = line_;
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
  }

  [[noreturn]] void fail(const std::string& message) const { throw TemplateError(message, line_); }

  // Moves to `end`, counting lines.
  void advance_to(size_t end) {
    line_ += static_cast<int>(std::count(text_.begin() + position_, text_.begin() + end, '\n'));
    if (end > position_) line_starting_ = text_[end - 1] == '\n';
    position_ = end;
  }

  size_t skip_spaces(size_t i) const {
    while (i < text_.size()) {
      const size_t begin = i;
      if (!is_space(next_code_point(text_, i))) return begin;
    }
    return i;
  }

  size_t find_tag() const {
    for (size_t i = text_.find('{', position_); i != kNone; i = text_.find('{', i + 1)) {
      if (i + 1 < text_.size()) {
        const char c = text_[i + 1];
        if (c == '{' || c == '%' || c == '#') return i;
      }
    }
    return kNone;
  }

  // The end of the text before a tag once '-' or lstrip_blocks took its spaces.
  size_t stripped_end(size_t begin, size_t end, char sign, Tag tag) const {
    if (sign == '-') {
      while (end > begin) {
        size_t start = end;
        if (!is_space(previous_code_point(text_, start))) break;
        end = start;
      }
      return end;
    }
    if (sign == '+' || tag == Tag::kVariable) return end;
    const size_t newline = text_.substr(begin, end - begin).rfind('\n');
    if (newline == kNone && !line_starting_) return end;
    const size_t line = newline == kNone ? begin : begin + newline + 1;
    return skip_spaces(line) >= end ? line : end;
  }

  void read_data() {
    const size_t tag_at = find_tag();
    if (tag_at == kNone) {
      const std::string rest(text_.substr(position_));
      emit(TokenType::kData, rest);
      advance_to(text_.size());
      return;
    }
    const char kind = text_[tag_at + 1];
    const Tag tag = kind == '{' ? Tag::kVariable : kind == '%' ? Tag::kBlock : Tag::kComment;
    const char next = tag_at + 2 < text_.size() ? text_[tag_at + 2] : '\0';
    const char sign = next == '-' || next == '+' ? next : '\0';
    const size_t end = stripped_end(position_, tag_at, sign, tag);
    if (end > position_)
      emit(TokenType::kData, std::string(text_.substr(position_, end - position_)));
    advance_to(tag_at);
    const size_t inside = tag_at + 2 + (sign != '\0' ? 1 : 0);
    if (tag == Tag::kComment) {
      skip_comment(inside);
    } else if (tag == Tag::kBlock && read_raw(inside)) {
      return;
    } else {
      emit(tag == Tag::kBlock ? TokenType::kBlockBegin : TokenType::kVariableBegin, "");
      advance_to(inside);
      read_tag(tag);
    }
  }

  // Behind a closing "%}" or "#}": trim_blocks takes one newline, '-' all spaces, '+' nothing.
  size_t behind_close(size_t behind, char sign, bool trim) const {
    if (sign == '-') return skip_spaces(behind);
    if (sign != '+' && trim && behind < text_.size() && text_[behind] == '\n') return behind + 1;
    return behind;
  }

  void skip_comment(size_t inside) {
    const size_t close = text_.find("#}", inside);
    if (close == kNone) fail("Missing end of comment tag");
    const char sign = close > inside ? text_[close - 1] : '\0';
    advance_to(behind_close(close + 2, sign, true));
  }

  // {% raw %} ... {% endraw %}; false when this is another tag.
  bool read_raw(size_t inside) {
    size_t i = skip_spaces(inside);
    if (text_.substr(i, 3) != "raw") return false;
    i = skip_spaces(i + 3);
    if (text_.substr(i, 3) == "-%}") {
      i = skip_spaces(i + 3);
    } else if (text_.substr(i, 2) == "%}") {
      i += 2;
    } else {
      return false;
    }
    advance_to(i);
    for (size_t open = text_.find("{%", i); open != kNone; open = text_.find("{%", open + 2)) {
      const char next = open + 2 < text_.size() ? text_[open + 2] : '\0';
      const char sign = next == '-' || next == '+' ? next : '\0';
      size_t close = skip_spaces(open + 2 + (sign != '\0' ? 1 : 0));
      if (text_.substr(close, 6) != "endraw") continue;
      close = skip_spaces(close + 6);
      const char end_sign = close < text_.size() && (text_[close] == '-' || text_[close] == '+')
                                ? text_[close]
                                : '\0';
      if (end_sign != '\0') ++close;
      if (text_.substr(close, 2) != "%}") continue;
      const size_t end = stripped_end(i, open, sign, Tag::kBlock);
      if (end > i) emit(TokenType::kData, std::string(text_.substr(i, end - i)));
      advance_to(behind_close(close + 2, end_sign, true));
      return true;
    }
    fail("Missing end of raw directive");
  }

  bool read_tag_end(Tag tag) {
    const bool variable = tag == Tag::kVariable;
    const std::string_view close = variable ? "}}" : "%}";
    const char c = text_[position_];
    const bool signed_end =
        (c == '-' || (c == '+' && !variable)) && text_.substr(position_ + 1, 2) == close;
    if (!signed_end && text_.substr(position_, 2) != close) return false;
    emit(variable ? TokenType::kVariableEnd : TokenType::kBlockEnd, "");
    const size_t behind = position_ + (signed_end ? 3 : 2);
    advance_to(behind_close(behind, signed_end ? c : '\0', !variable));
    return true;
  }

  void read_tag(Tag tag) {
    brackets_.clear();
    while (position_ < text_.size()) {
      if (brackets_.empty() && read_tag_end(tag)) return;
      const size_t behind_spaces = skip_spaces(position_);
      if (behind_spaces != position_) {
        advance_to(behind_spaces);
        continue;
      }
      const char c = text_[position_];
      if (is_ascii_digit(c)) {
        read_number();
      } else if (c == '"' || c == '\'') {
        read_string(c);
      } else if (!read_name()) {
        read_operator();
      }
    }
  }

  // Index behind digits with single underscores between them, from i (which is at a digit).
  size_t digits_end(size_t i) const {
    while (i < text_.size() &&
           (is_ascii_digit(text_[i]) ||
            (text_[i] == '_' && i + 1 < text_.size() && is_ascii_digit(text_[i + 1])))) {
      ++i;
    }
    return i;
  }

  bool digit_at(size_t i) const { return i < text_.size() && is_ascii_digit(text_[i]); }

  // The end of the float literal at the position, or 0.
  size_t float_end() const {
    if (position_ > 0 && text_[position_ - 1] == '.') return 0;
    size_t end = digits_end(position_);
    bool is_float = false;
    if (end < text_.size() && text_[end] == '.' && digit_at(end + 1)) {
      end = digits_end(end + 1);
      is_float = true;
    }
    if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      size_t digits = end + 1;
      if (digits < text_.size() && (text_[digits] == '+' || text_[digits] == '-')) ++digits;
      if (digit_at(digits)) return digits_end(digits);
    }
    return is_float ? end : 0;
  }

  size_t integer_end() const {
    const size_t i = position_;
    if (text_[i] != '0') return digits_end(i);
    if (i + 2 < text_.size()) {
      const char kind = static_cast<char>(text_[i + 1] | 0x20);
      const std::string_view allowed = kind == 'x'   ? "0123456789abcdefABCDEF"
                                       : kind == 'o' ? "01234567"
                                       : kind == 'b' ? "01"
                                                     : "";
      size_t end = i + 2;
      const auto is_allowed = [&](size_t at) {
        return at < text_.size() && allowed.find(text_[at]) != kNone;
      };
      while (is_allowed(end) || (end < text_.size() && text_[end] == '_' && is_allowed(end + 1)))
        ++end;
      if (end > i + 2) return end;
    }
    size_t end = i + 1;
    while (end < text_.size() &&
           (text_[end] == '0' ||
            (text_[end] == '_' && end + 1 < text_.size() && text_[end + 1] == '0'))) {
      ++end;
    }
    return end;
  }

  void read_number() {
    const size_t float_stop = float_end();
    const size_t end = float_stop != 0 ? float_stop : integer_end();
    const std::string literal(text_.substr(position_, end - position_));
    emit(float_stop != 0 ? TokenType::kFloat : TokenType::kInteger, literal);
    if (float_stop != 0) {
      tokens_.back().real = parse_float(literal).value_or(0);
    } else {
      const auto value = parse_int(literal, 0);
      if (!value) fail("malformed integer '" + literal + "'");
      tokens_.back().integer = *value;
    }
    advance_to(end);
  }

  bool read_name() {
    size_t end = position_;
    while (end < text_.size()) {
      size_t behind = end;
      if (!is_word(next_code_point(text_, behind))) break;
      end = behind;
    }
    if (end == position_) return false;
    const std::string_view name = text_.substr(position_, end - position_);
    if (!test_characters(name, CharTest::kIdentifier)) fail("Invalid character in identifier");
    emit(TokenType::kName, std::string(name));
    advance_to(end);
    return true;
  }

  void read_string(char quote) {
    size_t end = position_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size())
      fail("unexpected char '" + std::string(1, quote) + "': an open string");
    emit(TokenType::kString, unescape(text_.substr(position_ + 1, end - position_ - 1)));
    advance_to(end + 1);
  }

  // Backslash escapes as in a Python string literal.
  std::string unescape(std::string_view raw) const {
    std::string out;
    for (size_t i = 0; i < raw.size();) {
      if (raw[i] != '\\' || i + 1 >= raw.size()) {
        out += raw[i++];
        continue;
      }
      const char c = raw[i + 1];
      i += 2;
      static constexpr std::string_view kPlain = "\\'\"abfnrtv";
      static constexpr std::string_view kMeaning = "\\'\"\a\b\f\n\r\t\v";
      const size_t plain = kPlain.find(c);
      if (c == '\n') {
        continue;
      } else if (plain != kNone) {
        out += kMeaning[plain];
      } else if (c == 'x' || c == 'u' || c == 'U') {
        i = append_hex(raw, i, c == 'x' ? 2 : c == 'u' ? 4 : 8, out);
      } else if (c >= '0' && c <= '7') {
        int32_t value = 0;  // up to three octal digits
        const size_t stop = std::min(i + 2, raw.size());
        for (--i; i < stop && raw[i] >= '0' && raw[i] <= '7'; ++i) {
          value = value * 8 + (raw[i] - '0');
        }
        append_utf8(out, value);
      } else if (c == 'N') {
        fail("named characters (\\N{...}) are not supported");
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  size_t append_hex(std::string_view raw, size_t i, size_t digits, std::string& out) const {
    const std::string_view hex = raw.substr(i, digits);
    if (hex.size() != digits || hex.find_first_not_of("0123456789abcdefABCDEF") != kNone) {
      fail("truncated escape in a string");
    }
    const int64_t value = *parse_int(hex, 16);
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      fail("a string escape is not a Unicode character");
    }
    append_utf8(out, static_cast<UChar32>(value));
    return i + digits;
  }

  void read_operator() {
    static constexpr std::array<std::string_view, 26> kOperators = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";",
    };
    for (const std::string_view op : kOperators) {
      if (text_.substr(position_, op.size()) != op) continue;
      balance(op[0]);
      emit(TokenType::kOperator, std::string(op));
      advance_to(position_ + op.size());
      return;
    }
    size_t behind = position_;
    next_code_point(text_, behind);
    fail("unexpected char '" + std::string(text_.substr(position_, behind - position_)) + "'");
  }

  void balance(char c) {
    if (c == '(' || c == '[' || c == '{') {
      brackets_ += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (brackets_.empty()) fail(std::string("unexpected '") + c + "'");
      if (brackets_.back() != c) {
        fail(std::string("unexpected '") + c + "', expected '" + brackets_.back() + "'");
      }
      brackets_.pop_back();
    }
  }

  const std::string source_;
  const std::string_view text_;
  size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::string brackets_;  // the closing bracket of each open one
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace saccade::jinja
