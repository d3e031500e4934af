#include "server/api/json.h"

#include <algorithm>

namespace saccade::api {
namespace {

int nesting_depth(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

Result<Json> parse_body(std::string_view body) {
  if (nesting_depth(body) > kMaxJsonDepth) {
    return invalid_argument("the body nests arrays and objects deeper than " +
                            std::to_string(kMaxJsonDepth) + " levels");
  }
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
