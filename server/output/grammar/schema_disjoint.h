#pragma once

#include <functional>

#include "server/output/grammar/schema_merge.h"

namespace saccade::grammar {

// Whether it is certain that no value satisfies both schemas: by their listed values, their types,
// or a member that both must have. Both are without $ref and allOf at their top, as `flat` makes
// those of their members.
bool disjoint(const Json& a, const Json& b, const std::function<Json(const Json&)>& flat);

}  // namespace saccade::grammar
