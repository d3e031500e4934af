#include "server/http/route_path.h"

namespace saccade::http {

std::optional<std::string_view> match_path(std::string_view pattern, std::string_view path) {
  constexpr std::string_view kSegment = "{id}";
  const bool rest = pattern.ends_with('*');
  const size_t hole = rest ? pattern.size() - 1 : pattern.find(kSegment);
  if (hole == std::string_view::npos) {
    return path == pattern ? std::optional<std::string_view>("") : std::nullopt;
  }
  const std::string_view before = pattern.substr(0, hole);
  const std::string_view behind = rest ? "" : pattern.substr(hole + kSegment.size());
  if (path.size() <= before.size() + behind.size()) return std::nullopt;
  if (!path.starts_with(before) || !path.ends_with(behind)) return std::nullopt;
  const std::string_view found = path.substr(hole, path.size() - before.size() - behind.size());
  if (!rest && found.find('/') != std::string_view::npos) return std::nullopt;
  return found;
}

}  // namespace saccade::http
