#include "server/output/stop_strings.h"

#include <algorithm>
#include <utility>

namespace saccade {

StopStringMatcher::StopStringMatcher(std::vector<std::string> stops, bool include_stop)
    : stops_(std::move(stops)), include_stop_(include_stop) {
  std::erase(stops_, std::string());
}

// The longest stop string that ends at `end` of `text`.
const std::string* StopStringMatcher::stop_ending_at(std::string_view text, size_t end) const {
  const std::string* found = nullptr;
  for (const std::string& stop : stops_) {
    if (text.substr(0, end).ends_with(stop) && (!found || stop.size() > found->size())) {
      found = &stop;
    }
  }
  return found;
}

// Length of the longest end of `text` that some stop string starts with.
size_t StopStringMatcher::open_bytes(std::string_view text) const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    size_t length = std::min(stop.size() - 1, text.size());
    while (length > longest && !text.ends_with(std::string_view(stop).substr(0, length))) --length;
    longest = std::max(longest, length);
  }
  return longest;
}

StopStringMatcher::Result StopStringMatcher::push(std::string_view text) {
  Result result;
  if (stopped_) return result;
  const size_t known = held_.size();
  held_ += text;
  for (size_t end = known + 1; end <= held_.size(); ++end) {
    const std::string* stop = stop_ending_at(held_, end);
    if (!stop) continue;
    stopped_ = result.stopped = true;
    result.which = *stop;
    result.text = held_.substr(0, include_stop_ ? end : end - stop->size());
    held_.clear();
    return result;
  }
  const size_t released = held_.size() - open_bytes(held_);
  result.text = held_.substr(0, released);
  held_.erase(0, released);
  return result;
}

std::string StopStringMatcher::flush() { return std::exchange(held_, {}); }

}  // namespace saccade
