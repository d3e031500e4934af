#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "server/prompt/conversation.h"

namespace saccade {

// For models whose chat template knows no tools: describes them in the system message, and writes
// earlier calls and their results as text, all in the form that a tool call parser of the `style`
// (hermes, mistral, mistral_args, llama3_json, json, pythonic, react) reads. Without tools only the
// history.
void write_tools_as_text(Conversation& conversation, std::string_view style);

// Arguments as objects where their text is JSON, or there are none: what templates print. Clients
// send text.
nlohmann::ordered_json with_parsed_arguments(nlohmann::ordered_json tool_calls);

}  // namespace saccade
