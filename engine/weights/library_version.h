#pragma once

#include <cstdio>
#include <string>
#include <utility>

namespace saccade {

// A release of the reference library, major and minor; 0, 0: unknown. Folders are run as the
// release that wrote them runs them, where releases differ.
using LibraryVersion = std::pair<int, int>;

// Of config.json's transformers_version: "4.57.1".
inline LibraryVersion parse_library_version(const std::string& text) {
  int major = 0, minor = 0;
  if (std::sscanf(text.c_str(), "%4d.%4d", &major, &minor) < 1) return {0, 0};
  return {major, minor};
}

}  // namespace saccade
