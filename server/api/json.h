#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/core/status.h"

namespace saccade::api {

using Json = nlohmann::ordered_json;

// Of a request body. Members keep their order, because templates print them, and so are found by
// walking: without a bound on them a large body would cost quadratic time.
inline constexpr int kMaxJsonDepth = 100;       // arrays and objects inside one another
inline constexpr int kMaxJsonMembers = 2048;    // of one object
inline constexpr int kMaxJsonValues = 300'000;  // in all

// The body as a JSON object. InvalidArgument: not JSON, not UTF-8, no object, or beyond these
// limits (checked before anything is built).
Result<Json> parse_body(std::string_view body);

// Compact text; bytes that are no UTF-8 become U+FFFD instead of an exception.
std::string to_text(const Json& value);

}  // namespace saccade::api
