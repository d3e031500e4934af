#pragma once

#include <optional>
#include <string>

namespace saccade {

// Reads {"name": ..., "arguments": {...}} (or "parameters") as it arrives, a byte at a time, and
// gives the arguments' text on as soon as the name is known.
class JsonCallScanner {
 public:
  enum class Status {
    kMore,
    kDone,    // the closing brace was read
    kBroken,  // this is no such object
  };
  Status push(char c);

  const std::optional<std::string>& name() const { return name_; }
  // The arguments' text that was not taken yet; empty while the name is unknown. "{}" once the
  // object has ended without any.
  std::string take_arguments();
  bool arguments_begun() const { return arguments_begun_; }
  // Between the members, or behind the last value.
  bool after_value() const { return state_ == State::kAfterValue; }
  const std::string& raw() const { return raw_; }

 private:
  enum class State { kOpen, kKeyOrClose, kKey, kColon, kValueStart, kValue, kAfterValue, kDone };
  Status read_key(char c);
  Status read_value(char c);
  Status after_member(char c);
  void add_to_value(char c);
  void end_value();
  bool is_arguments() const { return key_ == "arguments" || key_ == "parameters"; }

  State state_ = State::kOpen;
  std::string raw_, key_, value_;
  bool in_string_ = false, escaped_ = false;
  int depth_ = 0;
  std::optional<std::string> name_;
  std::string arguments_;
  bool arguments_begun_ = false;
  bool quoted_arguments_ = false;  // a string that holds the JSON text
  size_t taken_ = 0;
};

}  // namespace saccade
