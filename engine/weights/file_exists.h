#pragma once

#include <filesystem>
#include <system_error>

namespace saccade {

// Whether there is something at `path`. What cannot be looked at (links in a circle, a folder that
// is closed to us) counts, so that reading it says why; a link to nothing does not.
inline bool file_exists(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error) || error;
}

}  // namespace saccade
