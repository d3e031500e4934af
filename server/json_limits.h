#pragma once

#include <string>
#include <string_view>

#include "engine/core/status.h"

namespace saccade {

// Of JSON text that comes with a request. What copies, prints or destroys a parsed value calls
// itself for every level. Members keep their order, because templates print them, and so are found
// by walking: without a bound on them a large text would cost quadratic time.
inline constexpr int kMaxJsonDepth = 100;       // arrays and objects inside one another
inline constexpr int kMaxJsonMembers = 2048;    // of one object
inline constexpr int kMaxJsonValues = 300'000;  // in all

// InvalidArgument when `text` is beyond these; its param is the member of the outermost object that
// is, if any. `what` names the text in the message. Walks it once, without building anything;
// malformed text is the parser's to refuse.
Status check_json_size(std::string_view text, const std::string& what);

}  // namespace saccade
