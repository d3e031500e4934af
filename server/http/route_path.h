#pragma once

#include <optional>
#include <string_view>

namespace saccade::http {

// Whether `path` is one of `pattern`: what stands for its "{id}", one segment, or for the "*" at
// its end, the rest, neither of them empty. Without either: empty.
std::optional<std::string_view> match_path(std::string_view pattern, std::string_view path);

}  // namespace saccade::http
