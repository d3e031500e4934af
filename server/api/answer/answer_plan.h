#pragma once

#include <memory>
#include <optional>

#include "server/api/answer/generation.h"
#include "server/api/request/tools.h"
#include "server/output/answer/answer_parser.h"

namespace saccade::api {

// Puts the tools where the model reads them: the template's own variable, or the system message.
void show_tools(const Service& service, const ToolOptions& tools, Conversation& conversation);

// The answer to a conversation, and how its text is to be read.
struct StartedAnswer {
  std::unique_ptr<Generation> generation;
  AnswerSyntax syntax;
  bool loosened = false;  // a schema of the tools that were strict by default cannot be enforced
};

// From a conversation to the engine: shows the tools, builds the prompt, plans what of the answer
// the engine and the detokenizer have to know (constraint, stop strings, special tokens that show)
// and submits. `format`: of the answer's text. Errors as prepare_chat and Generation::start, and
// kInvalidArgument for a format or a tool's schema that cannot be enforced.
Result<StartedAnswer> start_answer(Call& call, Conversation& conversation, const ToolOptions& tools,
                                   const std::optional<GrammarSpec>& format,
                                   GenerationOptions options);

}  // namespace saccade::api
