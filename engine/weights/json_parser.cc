#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "engine/weights/json.h"

namespace saccade {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Length in bytes of the UTF-8 sequence at `text[at]` (RFC 3629: no overlong forms, no surrogates,
// nothing above U+10FFFF); 0 when it is not one.
size_t utf8_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  const auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const unsigned low = lead == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = lead == 0xed ? 0x9f : 0xbf;
    return byte(1) >= low && byte(1) <= high && tail(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const unsigned low = lead == 0xf0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xf4 ? 0x8f : 0xbf;
    return byte(1) >= low && byte(1) <= high && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void append_utf8(std::string& out, uint32_t code) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

class Parser {
 public:
  Parser(std::string_view text, std::string_view name, const JsonLimits& limits)
      : text_(text), name_(name), limits_(limits) {}

  Json document() {
    Json value = this->value(0);
    skip_space();
    if (at_ < text_.size()) fail("text after the end of the document");
    return value;
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    const std::string_view before = text_.substr(0, std::min(at_, text_.size()));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t start = before.rfind('\n');
    const size_t column = before.size() - (start == std::string_view::npos ? 0 : start + 1) + 1;
    throw LoadError(std::string(name_) + ": line " + std::to_string(line) + " column " +
                    std::to_string(column) + ": " + std::string(what));
  }

  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
  }

  // The next character that is not space; fails at the end of the text.
  char peek() {
    skip_space();
    if (at_ >= text_.size()) fail("unexpected end of the text");
    return text_[at_];
  }

  bool take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  Json value(int depth) {
    if (depth > limits_.max_depth) fail("nested too deeply");
    if (++values_ > limits_.max_values) fail("too many values");
    switch (const char c = peek(); c) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"':
        return Json(string());
      default:
        if (c == '-' || is_digit(c)) return number();
        return word();
    }
  }

  Json word() {
    if (take("true")) return Json(true);
    if (take("false")) return Json(false);
    if (take("null")) return Json();
    if (take("NaN")) return Json(std::numeric_limits<double>::quiet_NaN());
    if (take("Infinity")) return Json(std::numeric_limits<double>::infinity());
    fail("expected a value");
  }

  // Moves past digits; false when there is none.
  bool digits() {
    const size_t start = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return at_ > start;
  }

  Json number() {
    const size_t start = at_;
    if (take("-Infinity")) return Json(-std::numeric_limits<double>::infinity());
    take("-");
    const bool zero = text_.substr(at_, 1) == "0";
    const size_t first = at_;
    if (!digits() || (zero && at_ - first > 1)) fail("malformed number");
    bool whole = true;
    if (take(".")) {
      whole = false;
      if (!digits()) fail("malformed number");
    }
    if (take("e") || take("E")) {
      whole = false;
      if (!take("+")) take("-");
      if (!digits()) fail("malformed number");
    }
    const char* begin = text_.data() + start;
    const char* end = text_.data() + at_;
    if (int64_t integer = 0; whole && std::from_chars(begin, end, integer).ec == std::errc()) {
      return Json(integer);
    }
    double real = 0;
    if (std::from_chars(begin, end, real).ec != std::errc()) fail("number out of range");
    return Json(real);
  }

  uint32_t hex4() {
    uint32_t code = 0;
    const char* begin = text_.data() + std::min(at_, text_.size());
    const char* end = text_.data() + std::min(at_ + 4, text_.size());
    const auto [stop, error] = std::from_chars(begin, end, code, 16);
    if (error != std::errc() || stop - begin != 4) fail("malformed \\u escape");
    at_ += 4;
    return code;
  }

  uint32_t escaped_code_point() {
    const uint32_t code = hex4();
    if (code < 0xd800 || code > 0xdfff) return code;
    if (code > 0xdbff || !take("\\u")) fail("lone surrogate in a \\u escape");
    const uint32_t low = hex4();
    if (low < 0xdc00 || low > 0xdfff) fail("lone surrogate in a \\u escape");
    return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }

  void escape(std::string& out) {
    if (at_ >= text_.size()) fail("unexpected end of the text");
    static constexpr std::string_view kLetters = "\"\\/bfnrt";
    static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char c = text_[at_];
    if (const size_t i = kLetters.find(c); i != std::string_view::npos) {
      ++at_;
      out += kMeanings[i];
    } else if (take("u")) {
      append_utf8(out, escaped_code_point());
    } else {
      fail("unknown escape in a string");
    }
  }

  std::string string() {
    ++at_;  // the opening quote
    std::string out;
    for (;;) {
      if (at_ >= text_.size()) fail("unexpected end of the text inside a string");
      const char c = text_[at_];
      if (c == '"') break;
      if (static_cast<unsigned char>(c) < 0x20) fail("control character in a string");
      if (c == '\\') {
        ++at_;
        escape(out);
        continue;
      }
      const size_t length = utf8_length(text_, at_);
      if (length == 0) fail("not UTF-8");
      out.append(text_, at_, length);
      at_ += length;
    }
    ++at_;  // the closing quote
    return out;
  }

  Json array(int depth) {
    Json::Array out;
    ++at_;
    if (peek() == ']') {
      ++at_;
      return Json(std::move(out));
    }
    for (;;) {
      out.push_back(value(depth + 1));
      const char c = peek();
      if (c != ',' && c != ']') fail("expected ',' or ']'");
      ++at_;
      if (c == ']') return Json(std::move(out));
    }
  }

  Json object(int depth) {
    Json::Object out;
    ++at_;
    if (peek() == '}') {
      ++at_;
      return Json(std::move(out));
    }
    for (;;) {
      if (peek() != '"') fail("expected a key in double quotes");
      std::string key = string();
      if (peek() != ':') fail("expected ':'");
      ++at_;
      Json value = this->value(depth + 1);
      out.push_back({std::move(key), std::move(value)});
      const char c = peek();
      if (c != ',' && c != '}') fail("expected ',' or '}'");
      ++at_;
      if (c == '}') break;
    }
    check_unique(out);
    return Json(std::move(out));
  }

  void check_unique(const Json::Object& members) const {
    std::vector<std::string_view> keys;
    keys.reserve(members.size());
    for (const JsonMember& member : members) keys.push_back(member.key);
    std::sort(keys.begin(), keys.end());
    const auto twin = std::adjacent_find(keys.begin(), keys.end());
    if (twin != keys.end()) fail("the key " + printable(*twin) + " occurs twice");
  }

  std::string_view text_;
  std::string_view name_;
  const JsonLimits& limits_;
  size_t at_ = 0;
  size_t values_ = 0;
};

}  // namespace

Json parse_json(std::string_view text, std::string_view name, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    throw LoadError(std::string(name) + ": too large: " + std::to_string(text.size()) +
                    " bytes, the limit is " + std::to_string(limits.max_bytes));
  }
  return Parser(text, name, limits).document();
}

}  // namespace saccade
