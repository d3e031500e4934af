#pragma once

#include "server/output/grammar/compiler.h"
#include "server/output/grammar/program.h"

namespace saccade::grammar {

// kInvalidArgument with the path of what is wrong, from the spec's param on.
Result<Program> program_of(const GrammarSpec& spec);

}  // namespace saccade::grammar
