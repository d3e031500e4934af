#include "server/api/fields/json.h"

#include "server/json_limits.h"

namespace saccade::api {

Result<Json> parse_body(std::string_view body) {
  if (const Status status = check_json_size(body, "the body"); !status.ok()) return status;
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
