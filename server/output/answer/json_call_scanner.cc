#include "server/output/answer/json_call_scanner.h"

#include <nlohmann/json.hpp>

#include "server/output/answer/marker.h"

namespace saccade {
namespace {

std::optional<std::string> decoded(const std::string& text) {
  const auto value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!value.is_string()) return std::nullopt;
  return value.get<std::string>();
}

}  // namespace

JsonCallScanner::Status JsonCallScanner::push(char c) {
  raw_ += c;
  switch (state_) {
    case State::kOpen:
      if (c == '{') state_ = State::kKeyOrClose;
      return c == '{' || is_white_space(c) ? Status::kMore : Status::kBroken;
    case State::kKeyOrClose:
      if (c == '"') {
        key_.clear();
        state_ = State::kKey;
      } else if (c == '}') {
        return after_member(c);
      } else if (!is_white_space(c)) {
        return Status::kBroken;
      }
      return Status::kMore;
    case State::kKey:
      return read_key(c);
    case State::kColon:
      if (c == ':') state_ = State::kValueStart;
      return c == ':' || is_white_space(c) ? Status::kMore : Status::kBroken;
    case State::kValueStart:
      if (is_white_space(c)) return Status::kMore;
      value_.clear();
      depth_ = 0;
      in_string_ = escaped_ = false;
      if (is_arguments()) {
        arguments_begun_ = true;
        quoted_arguments_ = c == '"';
      }
      state_ = State::kValue;
      return read_value(c);
    case State::kValue:
      return read_value(c);
    case State::kAfterValue:
      return after_member(c);
    case State::kDone:
      break;
  }
  return Status::kBroken;
}

JsonCallScanner::Status JsonCallScanner::read_key(char c) {
  if (c == '"') {
    state_ = State::kColon;
  } else {
    key_ += c;
  }
  return c == '\\' ? Status::kBroken : Status::kMore;
}

void JsonCallScanner::add_to_value(char c) {
  value_ += c;
  if (is_arguments() && !quoted_arguments_) arguments_ += c;
}

JsonCallScanner::Status JsonCallScanner::read_value(char c) {
  const bool closes = !in_string_ && (c == '}' || c == ']');
  if (!in_string_ && depth_ == 0 && (closes || c == ',' || is_white_space(c))) {
    end_value();  // a number or a word
    state_ = State::kAfterValue;
    return is_white_space(c) ? Status::kMore : after_member(c);
  }
  add_to_value(c);
  if (in_string_) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\') {
      escaped_ = true;
    } else if (c == '"') {
      in_string_ = false;
    }
  } else if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    ++depth_;
  } else if (closes) {
    --depth_;
  }
  const bool composed = value_.front() == '"' || value_.front() == '{' || value_.front() == '[';
  if (composed && depth_ == 0 && !in_string_) {
    end_value();
    state_ = State::kAfterValue;
  }
  return Status::kMore;
}

void JsonCallScanner::end_value() {
  if (key_ == "name" && !name_) name_ = decoded(value_);
  if (is_arguments() && quoted_arguments_) arguments_ = decoded(value_).value_or(value_);
}

JsonCallScanner::Status JsonCallScanner::after_member(char c) {
  if (is_white_space(c)) return Status::kMore;
  if (c == ',') {
    state_ = State::kKeyOrClose;
    return Status::kMore;
  }
  if (c != '}' || !name_ || name_->empty()) return Status::kBroken;
  if (arguments_.empty() || arguments_ == "null") arguments_ = "{}";
  state_ = State::kDone;
  return Status::kDone;
}

std::string JsonCallScanner::take_arguments() {
  if (!name_ || (quoted_arguments_ && state_ == State::kValue)) return {};
  std::string more = arguments_.substr(taken_);
  taken_ = arguments_.size();
  return more;
}

}  // namespace saccade
