#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saccade {

// Finds stop strings in a text that arrives in pieces, across the borders of the pieces. Text that
// could be the start of a stop string is held back until it is clear that it is not; nothing from a
// stop string on is ever released. The stop string that is complete first counts, and of those that
// end at the same place the longest, however the text was cut into pieces. One thread at a time.
class StopStringMatcher {
 public:
  // With `include_stop` the stop string itself is released as the end of the text. Empty stop
  // strings are ignored.
  explicit StopStringMatcher(std::vector<std::string> stops, bool include_stop = false);

  struct Result {
    std::string text;  // may be shown now
    bool stopped = false;
    std::string which;  // the stop string that was found
  };
  // After a stop was found, further text is ignored.
  Result push(std::string_view text);
  // The text still held back, at the end of a stream that no stop string ended.
  std::string flush();

 private:
  const std::string* stop_ending_at(std::string_view text, size_t end) const;
  size_t open_bytes(std::string_view text) const;

  std::vector<std::string> stops_;
  bool include_stop_;
  bool stopped_ = false;
  std::string held_;  // the start of some stop string
};

}  // namespace saccade
