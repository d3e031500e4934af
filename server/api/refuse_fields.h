#pragma once

#include <initializer_list>

#include "server/api/fields.h"

namespace saccade::api {

// What would change an answer in ways that this server does not know is refused, not ignored.
void refuse_fields(Fields& fields, std::initializer_list<const char*> names);
// The same of prompt_cache_options.prewarm, which asks for no answer.
void refuse_prewarm(Fields& fields);

}  // namespace saccade::api
