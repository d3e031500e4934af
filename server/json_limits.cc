#include "server/json_limits.h"

#include <algorithm>
#include <array>

namespace saccade {

Status check_json_size(std::string_view text, const std::string& what) {
  std::array<int, kMaxJsonDepth + 1> members{};  // of the open object at each depth
  int depth = 0;
  int values = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '"':
        while (++i < text.size() && text[i] != '"') {
          if (text[i] == '\\') ++i;
        }
        break;
      case '[':
      case '{':
        if (++depth > kMaxJsonDepth) {
          return invalid_argument(what + " nests arrays and objects deeper than " +
                                  std::to_string(kMaxJsonDepth) + " levels");
        }
        members[depth] = 0;
        break;
      case ']':
      case '}':
        depth = std::max(depth - 1, 0);
        break;
      case ':':
        if (++members[depth] > kMaxJsonMembers) {
          return invalid_argument(what + " holds an object with more than " +
                                  std::to_string(kMaxJsonMembers) + " members");
        }
        break;
      case ',':
        if (++values >= kMaxJsonValues) {
          return invalid_argument(what + " holds more than " + std::to_string(kMaxJsonValues) +
                                  " values");
        }
        break;
      case '\0':  // the parser takes it for the end of the text
        return invalid_argument(what + " is not valid JSON (it holds a NUL byte)");
      default:
        break;
    }
  }
  return {};
}

}  // namespace saccade
