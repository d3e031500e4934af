// Calls behind a marker: Hermes' <tool_call>{...}</tool_call>, and Mistral's [TOOL_CALLS].
#include "server/output/answer/json_call_scanner.h"
#include "server/output/answer/marker.h"
#include "server/output/answer/tool_call_styles.h"

namespace saccade {
namespace {

class MarkedCallParser : public ToolCallParser {
 public:
  explicit MarkedCallParser(ToolStyle style)
      : mistral_(style != ToolStyle::kHermes),
        begin_(call_marker(style)),
        end_(mistral_ ? "" : "</tool_call>") {}

  void push(std::string_view text, AnswerPieces& out) override {
    for (const char c : text) {
      push(c, out);
    }
    if (state_ == State::kText) release(out, false);
    if (state_ == State::kCall) report(out);
  }

  void finish(AnswerPieces& out, bool cut) override {
    if (state_ == State::kText) return release(out, true);
    if (state_ == State::kCall) report(out);
    const bool unnamed = state_ == State::kName || (state_ == State::kCall && !announced_);
    if (unnamed && !cut) content(begin_ + seen_, out);
  }

 private:
  enum class State {
    kText,
    kOpening,  // behind the marker: a list, an object or a name
    kName,     // Mistral's newer name{...}
    kCall,
    kBetween,  // behind a call: the end marker, or a list's comma or end
  };

  void push(char c, AnswerPieces& out) {
    switch (state_) {
      case State::kText:
        held_ += c;
        if (held_.ends_with(begin_)) {
          held_.erase(held_.size() - begin_.size());
          held_.erase(held_.find_last_not_of(kWhiteSpace) + 1);
          content(std::exchange(held_, {}), out);
          open();
        }
        return;
      case State::kOpening:
        return opening(c, out);
      case State::kName:
        seen_ += c;
        return name(c, out);
      case State::kCall:
        seen_ += c;
        return call(c, out);
      case State::kBetween:
        return between(c, out);
    }
  }

  void open() {
    state_ = State::kOpening;
    scanner_ = {};
    announced_ = false;
    wrapped_ = false;
    seen_.clear();
  }

  void opening(char c, AnswerPieces& out) {
    if (is_white_space(c)) return;
    if (mistral_ && c == '[' && !list_) {
      list_ = true;
      return;
    }
    if (list_ && c == ']') return leave();
    state_ = mistral_ && c != '{' && !list_ ? State::kName : State::kCall;
    push(c, out);
  }

  // The name ends where the arguments' brace begins; [CALL_ID]... and [ARGS] may stand between.
  void name(char c, AnswerPieces& out) {
    if (c != '{') return;
    std::string name = seen_.substr(0, seen_.size() - 1);
    name.erase(std::min(name.find('['), name.size()));
    name.erase(name.find_last_not_of(kWhiteSpace) + 1);
    for (const char known : "{\"name\":\"" + name + "\",\"arguments\":") {
      if (known != '\0') scanner_.push(known);
    }
    wrapped_ = true;
    state_ = State::kCall;
    call(c, out);
  }

  void call(char c, AnswerPieces& out) {
    auto status = scanner_.push(c);
    if (wrapped_ && status == JsonCallScanner::Status::kMore && scanner_.after_value()) {
      status = scanner_.push('}');
    }
    if (status == JsonCallScanner::Status::kMore) return;
    report(out);
    if (status == JsonCallScanner::Status::kDone) {
      state_ = State::kBetween;
    } else if (announced_) {  // too late to take it back
      state_ = State::kBetween;
    } else {
      content(begin_ + seen_, out);
      leave();
    }
  }

  void report(AnswerPieces& out) {
    if (!announced_ && scanner_.name()) {
      begin_call(*scanner_.name(), out);
      announced_ = true;
    }
    if (announced_) arguments(scanner_.take_arguments(), out);
  }

  void between(char c, AnswerPieces& out) {
    if (held_.empty() && is_white_space(c)) return;
    if (list_) {
      if (c == ',') return open();
      return leave();
    }
    if (mistral_) {
      leave();
      return push(c, out);
    }
    held_ += c;
    if (held_ == end_) {
      held_.clear();
      leave();
    } else if (!end_.starts_with(held_)) {  // the model left the end marker out
      const std::string text = std::exchange(held_, {});
      leave();
      for (const char again : text) push(again, out);
    }
  }

  void leave() {
    state_ = State::kText;
    list_ = false;
  }

  // Holds back what may be the beginning of a marker, and white space that may stand before one.
  void release(AnswerPieces& out, bool all) {
    if (all) {
      if (calls() > 0 && held_.find_first_not_of(kWhiteSpace) == std::string::npos) return;
      return content(std::exchange(held_, {}), out);
    }
    size_t keep = begun_marker(held_, begin_);
    while (keep < held_.size() && is_white_space(held_[held_.size() - keep - 1])) ++keep;
    content(held_.substr(0, held_.size() - keep), out);
    held_.erase(0, held_.size() - keep);
  }

  const bool mistral_;
  const std::string begin_, end_;
  State state_ = State::kText;
  std::string held_;
  std::string seen_;  // of the call
  JsonCallScanner scanner_;
  bool announced_ = false;
  bool list_ = false;     // inside of Mistral's brackets
  bool wrapped_ = false;  // the scanner sees an object around the arguments
};

}  // namespace

std::unique_ptr<ToolCallParser> make_marked_call_parser(ToolStyle style) {
  return std::make_unique<MarkedCallParser>(style);
}

}  // namespace saccade
