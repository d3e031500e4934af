#include "server/api/json.h"

#include <algorithm>
#include <array>

namespace saccade::api {
namespace {

// Walks the text once, without building anything. Malformed text is the parser's to refuse.
Status check_size(std::string_view text) {
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
          return invalid_argument("the body nests arrays and objects deeper than " +
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
          return invalid_argument("the body holds an object with more than " +
                                  std::to_string(kMaxJsonMembers) + " members");
        }
        break;
      case ',':
        if (++values >= kMaxJsonValues) {
          return invalid_argument("the body holds more than " + std::to_string(kMaxJsonValues) +
                                  " values");
        }
        break;
      default:
        break;
    }
  }
  return {};
}

}  // namespace

Result<Json> parse_body(std::string_view body) {
  if (const Status status = check_size(body); !status.ok()) return status;
  try {
    Json value = Json::parse(body);
    if (!value.is_object()) return invalid_argument("the body must be a JSON object");
    return value;
  } catch (const Json::parse_error& error) {
    return invalid_argument("the body is not valid JSON (byte " + std::to_string(error.byte) + ")");
  } catch (const Json::exception&) {
    return invalid_argument("the body holds a number that does not fit");
  }
}

std::string to_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace saccade::api
