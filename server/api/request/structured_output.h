#pragma once

#include <optional>

#include "server/api/fields/fields.h"
#include "server/api/request/generation_options.h"
#include "server/output/grammar/compiler.h"

namespace saccade::api {

// What the answer's text must match: `response_format` (OpenAI), `guided_json`, `guided_regex`,
// `guided_choice`, `guided_grammar` and `structured_outputs` (vLLM). None: free text. Mistakes are
// kept in `fields`; more than one of them is one.
std::optional<GrammarSpec> read_structured_output(Fields& fields);

// Compiles `format`, if there is one, and gives every choice of the answer its own matcher.
Status constrain(GrammarCompiler& grammars, const std::optional<GrammarSpec>& format,
                 GenerationOptions& options);

}  // namespace saccade::api
