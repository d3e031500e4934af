#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/core/status.h"

namespace saccade::api {

using Json = nlohmann::ordered_json;

// The body as a JSON object. InvalidArgument: not JSON, not UTF-8, no object, or beyond the limits
// of server/json_limits.h; with the path of the value in which the mistake is, where it is in one.
Result<Json> parse_body(std::string_view body);

// About what the value takes in memory.
size_t memory_of(const Json& value);

// Compact text; bytes that are no UTF-8 become U+FFFD instead of an exception.
std::string to_text(const Json& value);

}  // namespace saccade::api
