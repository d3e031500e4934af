#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "server/output/grammar/expr.h"

namespace saccade::grammar {

using Json = nlohmann::ordered_json;

// The part of `root` that a $ref names ("#", or "#/" and a JSON pointer, RFC 6901). Throws
// GrammarError at `path`.
const Json& resolve_reference(const Json& root, const Json& reference, const std::string& path);

// A keyword that only describes: it restricts no value.
bool is_annotation(const std::string& keyword);

// A schema that holds what `a` and `b` hold together, both without $ref and compositions. Throws
// GrammarError naming the keyword where that cannot be written as one schema.
Json merge_schemas(const Json& a, const Json& b, const std::string& path);

}  // namespace saccade::grammar
