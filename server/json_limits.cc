#include "server/json_limits.h"

#include <algorithm>
#include <array>

namespace saccade {
namespace {

// A member's name as fields have them; nothing of a stranger's own is repeated to him.
bool is_field_name(std::string_view name) {
  constexpr size_t kLongest = 64;
  return !name.empty() && name.size() <= kLongest &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  (c >= '0' && c <= '9');
         });
}

}  // namespace

Status check_json_size(std::string_view text, const std::string& what) {
  std::array<int, kMaxJsonDepth + 1> members{};  // of the open object at each depth
  int depth = 0;
  int values = 0;
  std::string_view string, member;  // the last one; the outermost object's that was begun last
  const auto beyond = [&](const std::string& how) {
    const std::string name(depth > 1 && is_field_name(member) ? member : std::string_view());
    return invalid_argument(what + (name.empty() ? "" : ": " + name) + how, name);
  };
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '"': {
        const size_t begin = i + 1;
        while (++i < text.size() && text[i] != '"') {
          if (text[i] == '\\') ++i;
        }
        string = text.substr(begin, i - begin);
        break;
      }
      case '[':
      case '{':
        if (++depth > kMaxJsonDepth) {
          return beyond(" nests arrays and objects deeper than " + std::to_string(kMaxJsonDepth) +
                        " levels");
        }
        members[depth] = 0;
        break;
      case ']':
      case '}':
        depth = std::max(depth - 1, 0);
        break;
      case ':':
        if (depth == 1) member = string;
        if (++members[depth] > kMaxJsonMembers) {
          return beyond(" holds an object with more than " + std::to_string(kMaxJsonMembers) +
                        " members");
        }
        break;
      case ',':
        if (++values >= kMaxJsonValues) {
          return beyond(" holds more than " + std::to_string(kMaxJsonValues) + " values");
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
