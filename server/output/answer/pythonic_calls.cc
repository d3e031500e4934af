// Calls as a Python list of calls with literal keyword arguments.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>

#include "server/json_limits.h"
#include "server/output/answer/marker.h"
#include "server/output/answer/tool_call_styles.h"

namespace saccade {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxDepth = 64;

struct Call {
  std::string name;
  Json arguments = Json::object();
};

// Thrown for text that is no such list; the parser below catches it.
struct NoCalls {};

class PythonReader {
 public:
  explicit PythonReader(std::string_view text) : text_(text) {}

  std::vector<Call> calls() {
    std::vector<Call> list;
    expect('[');
    while (!take(']')) {
      list.push_back(call());
      if (!take(',') && peek() != ']') throw NoCalls{};
    }
    if (peek() != '\0' || list.empty()) throw NoCalls{};
    return list;
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  char peek() {
    skip_space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) throw NoCalls{};
  }

  std::string word() {
    skip_space();
    const size_t start = at_;
    const auto part = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-';
    };
    while (at_ < text_.size() && part(text_[at_])) ++at_;
    if (at_ == start) throw NoCalls{};
    return std::string(text_.substr(start, at_ - start));
  }

  Call call() {
    Call call{word()};
    expect('(');
    while (!take(')')) {
      const std::string key = word();
      expect('=');
      call.arguments[key] = value(0);
      if (!take(',') && peek() != ')') throw NoCalls{};
    }
    return call;
  }

  Json value(int depth) {
    if (depth > kMaxDepth) throw NoCalls{};
    const char c = peek();
    if (c == '"' || c == '\'') return quoted();
    if (take('[')) return list(']', depth);
    if (take('(')) return list(')', depth);
    if (take('{')) return dict(depth);
    const bool negative = c == '+' || c == '-';
    if (negative) ++at_;
    std::string text = word();
    if (std::tolower(static_cast<unsigned char>(text.back())) == 'e' && take('+')) {
      text += "+" + word();
    }
    if (text == "True" || text == "true") return true;
    if (text == "False" || text == "false") return false;
    if (text == "None" || text == "null") return nullptr;
    Json number = Json::parse((c == '-' ? "-" : "") + text, nullptr, false);
    if (!number.is_number()) throw NoCalls{};
    return number;
  }

  Json list(char end, int depth) {
    Json items = Json::array();
    while (!take(end)) {
      items.push_back(value(depth + 1));
      if (!take(',') && peek() != end) throw NoCalls{};
    }
    return items;
  }

  Json dict(int depth) {
    Json members = Json::object();
    while (!take('}')) {
      const Json key = value(depth + 1);
      expect(':');
      members[key.is_string() ? key.get<std::string>() : key.dump()] = value(depth + 1);
      if (!take(',') && peek() != '}') throw NoCalls{};
    }
    return members;
  }

  std::string quoted() {
    const char quote = text_[at_++];
    std::string text;
    while (next() != quote) {
      const char c = text_[at_++];
      if (c == '\\') {
        text += escaped();
      } else {
        text += c;
      }
    }
    ++at_;
    return text;
  }

  char next() const {
    if (at_ == text_.size()) throw NoCalls{};
    return text_[at_];
  }

  // Behind a backslash: Python's escapes, and JSON's \/. As in Python, an unknown one is no escape.
  std::string escaped() {
    constexpr std::string_view kNames = "ntrbfv0\\'\"/\n";
    constexpr std::string_view kBytes("\n\t\r\b\f\v\0\\'\"/", 11);  // a line break is left out
    const char c = next();
    ++at_;
    if (c == 'x') return utf8(hex(2));
    if (c == 'U') return utf8(hex(8));
    if (c == 'u') return utf8(code_point());
    const size_t known = kNames.find(c);
    if (known == std::string_view::npos) return {'\\', c};
    return std::string(kBytes.substr(std::min(known, kBytes.size()), 1));
  }

  // Behind \u, four digits; JSON writes what is beyond them as a pair.
  char32_t code_point() {
    const char32_t first = hex(4);
    const bool pair = first >= 0xd800 && first < 0xdc00 && text_.substr(at_).starts_with("\\u");
    if (!pair) return first;
    at_ += 2;
    const char32_t second = hex(4);
    return 0x10000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
  }

  char32_t hex(size_t digits) {
    const std::string_view text = text_.substr(at_, digits);
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (error != std::errc() || text.size() != digits || end != text.data() + digits) {
      throw NoCalls{};
    }
    at_ += digits;
    return value;
  }

  static std::string utf8(char32_t c) {
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) c = 0xfffd;
    const auto byte = [](char32_t value) { return static_cast<char>(value); };
    const auto more = [&](int shift) { return byte(0x80 | ((c >> shift) & 0x3f)); };
    if (c < 0x80) return {byte(c)};
    if (c < 0x800) return {byte(0xc0 | (c >> 6)), more(0)};
    if (c < 0x10000) return {byte(0xe0 | (c >> 12)), more(6), more(0)};
    return {byte(0xf0 | (c >> 18)), more(12), more(6), more(0)};
  }

  const std::string_view text_;
  size_t at_ = 0;
};

// [{"name": ..., "arguments": {...}}]: what a forced call is written as where a tool cannot be
// called as Python does.
std::vector<Call> json_calls(const std::string& text) {
  if (!check_json_size(text, "").ok()) throw NoCalls{};
  const Json list = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array() || list.empty()) throw NoCalls{};
  std::vector<Call> calls;
  for (const Json& item : list) {
    const bool call = item.is_object() && item.contains("name") && item["name"].is_string() &&
                      item.contains("arguments") && item["arguments"].is_object();
    if (!call) throw NoCalls{};
    calls.push_back({item["name"].get<std::string>(), item["arguments"]});
  }
  return calls;
}

std::vector<Call> calls_in(const std::string& text) {
  try {
    return PythonReader(text).calls();
  } catch (const NoCalls&) {
    return json_calls(text);
  }
}

// The list is short and means nothing before its end, so it is held back whole.
class PythonicCallParser : public ToolCallParser {
 public:
  explicit PythonicCallParser(std::vector<std::string> names) : names_(std::move(names)) {}

  void push(std::string_view text, AnswerPieces& out) override {
    if (plain_) return content(std::string(text), out);
    held_ += text;
    const size_t first = held_.find_first_not_of(kWhiteSpace);
    if (first == std::string::npos || held_[first] == '[') return;
    plain_ = true;
    content(std::exchange(held_, {}), out);
  }

  void finish(AnswerPieces& out, bool) override {
    if (plain_ || held_.empty()) return;
    try {
      const std::vector<Call> calls = calls_in(held_);
      const bool known = std::all_of(calls.begin(), calls.end(), [this](const Call& call) {
        return std::find(names_.begin(), names_.end(), call.name) != names_.end();
      });
      if (!known) throw NoCalls{};
      for (const Call& call : calls) {
        begin_call(call.name, out);
        arguments(call.arguments.dump(-1, ' ', false, Json::error_handler_t::replace), out);
      }
    } catch (const NoCalls&) {
      content(held_, out);
    }
    held_.clear();
  }

 private:
  const std::vector<std::string> names_;
  std::string held_;
  bool plain_ = false;
};

}  // namespace

std::unique_ptr<ToolCallParser> make_pythonic_call_parser(std::vector<std::string> names) {
  return std::make_unique<PythonicCallParser>(std::move(names));
}

}  // namespace saccade
