#pragma once

#include <string>
#include <string_view>

namespace saccade {

// Of names that protocols compare without case: hosts, media types, file endings. Bytes beyond
// ASCII stay as they are.
inline std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace saccade
