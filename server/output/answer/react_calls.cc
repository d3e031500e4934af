// ReAct (Yao et al. 2022): Thought, Action, Action Input; the Observation is the client's to give.
#include <nlohmann/json.hpp>

#include "server/output/answer/marker.h"
#include "server/output/answer/tool_call_styles.h"

namespace saccade {
namespace {

constexpr std::string_view kAction = "Action:";
constexpr std::string_view kInput = "Action Input:";
constexpr std::string_view kObservation = "Observation:";

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kWhiteSpace);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1));
}

// A JSON object as it is; anything else is the one argument `input`.
std::string as_arguments(const std::string& input) {
  const auto value = nlohmann::json::parse(input, nullptr, /*allow_exceptions=*/false);
  if (value.is_object()) return input;
  const nlohmann::json wrapped = {{"input", value.is_string() ? value : nlohmann::json(input)}};
  return wrapped.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

class ReactCallParser : public ToolCallParser {
 public:
  void push(std::string_view text, AnswerPieces& out) override {
    for (const char c : text) {
      held_ += c;
      if (state_ == State::kText) {
        text_byte(out);
      } else if (held_.ends_with(kObservation)) {
        held_.erase(held_.size() - kObservation.size());
        end_call(out, false);
      }
    }
  }

  void finish(AnswerPieces& out, bool cut) override {
    if (state_ == State::kCall) return end_call(out, cut);
    if (calls() == 0 || !trimmed(held_).empty()) content(std::exchange(held_, {}), out);
  }

 private:
  enum class State { kText, kCall };

  // A line that begins with "Action:" begins a call; its line break goes with it.
  void text_byte(AnswerPieces& out) {
    const size_t line_break = held_.rfind('\n');
    if (line_break == std::string::npos && !fresh_line_) return release(out);
    const size_t line = line_break == std::string::npos ? 0 : line_break + 1;
    const std::string_view begun = std::string_view(held_).substr(line);
    if (begun == kAction) {
      content(trimmed_end(held_.substr(0, line)), out);
      held_.clear();
      state_ = State::kCall;
      fresh_line_ = true;
    } else if (!kAction.starts_with(begun)) {
      release(out);
    }
  }

  void release(AnswerPieces& out) {
    content(std::exchange(held_, {}), out);
    fresh_line_ = false;
  }

  static std::string trimmed_end(std::string text) {
    text.erase(text.find_last_not_of(kWhiteSpace) + 1);
    return text;
  }

  void end_call(AnswerPieces& out, bool cut) {
    const size_t input = held_.find(kInput);
    const std::string name = trimmed(std::string_view(held_).substr(0, input));
    if (cut && input == std::string::npos) {  // the name may go on
    } else if (name.empty() || name.find('\n') != std::string::npos) {
      content(std::string(kAction) + held_, out);
    } else {
      begin_call(name, out);
      const std::string text =
          input == std::string::npos ? "{}" : trimmed(held_.substr(input + kInput.size()));
      arguments(cut ? text : text.empty() ? "{}" : as_arguments(text), out);
    }
    held_.clear();
    state_ = State::kText;
  }

  State state_ = State::kText;
  std::string held_;
  bool fresh_line_ = true;  // what is held begins a line
};

}  // namespace

std::unique_ptr<ToolCallParser> make_react_call_parser() {
  return std::make_unique<ReactCallParser>();
}

}  // namespace saccade
