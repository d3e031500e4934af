#pragma once

#include <string>
#include <variant>
#include <vector>

#include "server/api/fields/fields.h"

namespace saccade::api {

// A text, or its token ids.
using TextOrIds = std::variant<std::string, std::vector<int32_t>>;

// The member `name`: a string, a list of strings, a list of token ids or a list of such lists; at
// most `max_count` of them. Mistakes are kept in `fields`.
std::vector<TextOrIds> read_texts(Fields& fields, const char* name, const ModelLimits& limits,
                                  size_t max_count);

}  // namespace saccade::api
