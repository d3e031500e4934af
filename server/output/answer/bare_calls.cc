// Calls as JSON objects with nothing around them: the answer is one from its first brace on.
#include <algorithm>

#include "server/output/answer/json_call_scanner.h"
#include "server/output/answer/marker.h"
#include "server/output/answer/tool_call_styles.h"

namespace saccade {
namespace {

constexpr std::string_view kPythonTag = "<|python_tag|>";

class BareCallParser : public ToolCallParser {
 public:
  explicit BareCallParser(std::vector<std::string> names) : names_(std::move(names)) {}

  void push(std::string_view text, AnswerPieces& out) override {
    for (const char c : text) push(c, out);
    if (state_ == State::kCall) report(out);
    flush_content(out);
  }

  // Without a tag in front, the beginning of a call is JSON like any other.
  void finish(AnswerPieces& out, bool cut) override {
    if (state_ == State::kCall) {
      report(out);
      if (!announced_ && !(cut && tagged_)) content_ += held_ + scanner_.raw();
    } else if (state_ == State::kStart && calls() == 0) {
      content_ += held_;
    }
    flush_content(out);
  }

 private:
  enum class State { kStart, kCall, kContent };

  void push(char c, AnswerPieces& out) {
    if (state_ == State::kContent) {
      content_ += c;
    } else if (state_ == State::kStart) {
      start(c, out);
    } else {
      call(c, out);
    }
  }

  void start(char c, AnswerPieces& out) {
    if (c == '{') {
      state_ = State::kCall;
      scanner_ = {};
      announced_ = false;
      return call(c, out);
    }
    held_ += c;
    const size_t first = held_.find_first_not_of(kWhiteSpace);
    if (first == std::string::npos) return;
    const std::string_view word = std::string_view(held_).substr(first);
    if (word == kPythonTag) {
      held_.clear();
      tagged_ = true;
    } else if (kPythonTag.starts_with(word) || (calls() == 0 && word == "[")) {
    } else if (calls() > 0 && (word == ";" || word == "," || word == "]")) {
      held_.clear();
    } else {
      plain();
    }
  }

  void call(char c, AnswerPieces& out) {
    const auto status = scanner_.push(c);
    const bool known = !scanner_.name() ||
                       std::find(names_.begin(), names_.end(), *scanner_.name()) != names_.end();
    if (status == JsonCallScanner::Status::kDone && known) {
      report(out);
      if (!announced_) announce(out);
      held_.clear();
      state_ = State::kStart;
    } else if (status != JsonCallScanner::Status::kMore || !known) {
      held_ += scanner_.raw();
      if (announced_) held_.clear();  // too late to take it back
      plain();
    }
  }

  void report(AnswerPieces& out) {
    if (!announced_ && scanner_.name() && scanner_.arguments_begun()) return announce(out);
    if (announced_) arguments(scanner_.take_arguments(), out);
  }

  void announce(AnswerPieces& out) {
    begin_call(*scanner_.name(), out);
    announced_ = true;
    arguments(scanner_.take_arguments(), out);
  }

  void plain() {
    content_ += held_;
    held_.clear();
    state_ = State::kContent;
  }

  void flush_content(AnswerPieces& out) { content(std::exchange(content_, {}), out); }

  const std::vector<std::string> names_;
  State state_ = State::kStart;
  std::string held_, content_;
  JsonCallScanner scanner_;
  bool announced_ = false;
  bool tagged_ = false;
};

}  // namespace

std::unique_ptr<ToolCallParser> make_bare_call_parser(std::vector<std::string> names) {
  return std::make_unique<BareCallParser>(std::move(names));
}

}  // namespace saccade
