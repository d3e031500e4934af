#pragma once

#include <algorithm>
#include <string_view>
#include <utility>

namespace saccade {

inline constexpr std::string_view kWhiteSpace = " \t\r\n";
inline bool is_white_space(char c) { return kWhiteSpace.find(c) != std::string_view::npos; }

// Length of the longest end of `text` that `marker` begins with, the whole marker aside: what has
// to be held back until more is known.
inline size_t begun_marker(std::string_view text, std::string_view marker) {
  size_t length = std::min(text.size(), marker.size() - 1);
  while (length > 0 && !text.ends_with(marker.substr(0, length))) --length;
  return length;
}

}  // namespace saccade
