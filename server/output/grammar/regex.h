#pragma once

#include <string>
#include <string_view>

#include "server/output/grammar/expr.h"

namespace saccade::grammar {

// Where the text that a regular expression describes stands.
enum class TextContext {
  kPlain,       // in the answer itself
  kJsonString,  // between the quotes of a JSON string: quotes, backslashes and controls are escaped
};

// The texts that match `pattern` (ECMA-262 with Unicode code points, as JSON Schema asks for).
// A pattern without ^ and $ means the whole text; with one of them, the other side is free, as a
// search has it. Throws GrammarError (path empty) for what is no regular language (back references,
// look-around), for word boundaries, flags, \p{} and syntax errors.
ExprPtr regex(std::string_view pattern, TextContext context);

// One character in `context`, out of `set`.
ExprPtr character(const CharSet& set, TextContext context);

}  // namespace saccade::grammar
