#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "server/output/grammar/expr.h"

namespace saccade::grammar {

// Any text, up to and including the first `marker` (ASCII); and any text without it.
ExprPtr text_until(Grammar& grammar, std::string_view marker);
ExprPtr text_without(Grammar& grammar, std::string_view marker);

// Tool calls as a model of a style writes them, their arguments as the tools' schemas say:
//   {"style": "hermes", "parallel": true, "among_text": false,
//    "tools": [{"name": ..., "parameters": {...}, "path": "tools[0].function.parameters"}]}
// `parallel`: one call or more. `among_text`: text around the calls, or none of them (styles with a
// marker only). Markers are text here, whatever tokens write them (marker_tokens.h). Throws
// GrammarError with the tool's path in front of the keyword's.
ExprPtr tool_calls(Grammar& grammar, const nlohmann::ordered_json& description);

}  // namespace saccade::grammar
