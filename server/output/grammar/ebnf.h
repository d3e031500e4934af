#pragma once

#include <string_view>

#include "server/output/grammar/expr.h"

namespace saccade::grammar {

// The rule `root` of a grammar in the EBNF that llama.cpp (GBNF), xgrammar and vLLM share:
//   root ::= "yes" | [0-9]{2,3} name*   # a comment
// Rules end at the end of a line outside of parentheses, or where the next begins. Throws
// GrammarError (path empty) naming the line.
ExprPtr ebnf(Grammar& grammar, std::string_view text);

}  // namespace saccade::grammar
