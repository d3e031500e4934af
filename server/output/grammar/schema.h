#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "server/output/grammar/expr.h"

namespace saccade::grammar {

// The JSON texts that satisfy a JSON Schema (2020-12; tuples as earlier drafts write them, too), as
// a grammar. Every text it matches is valid; of the valid ones it leaves out what a model need not
// write: members an object does not declare, unless `additionalProperties` asks for them or nothing
// is declared; declared members in another order; escapes for characters that need none in keys.
// Throws GrammarError with the keyword's path for what cannot be enforced: nothing is dropped but
// annotations.
ExprPtr schema_value(Grammar& grammar, const nlohmann::ordered_json& schema);

// The same of an object's schema as arguments of a Python call: name=value, ... with True, False
// and None. Null where that cannot be: names that are no identifiers, choices between objects.
ExprPtr schema_keywords(Grammar& grammar, const nlohmann::ordered_json& schema);

}  // namespace saccade::grammar
