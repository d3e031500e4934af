#pragma once

#include "server/api/chat_request.h"
#include "server/api/prepare.h"
#include "server/output/answer/answer_parser.h"

namespace saccade::api {

// Puts the tools where the model reads them: the template's own variable, or the system message.
void show_tools(const Service& service, ChatRequest& chat);

// How the answer to `prompt` is to be read. Sets what of it the engine and the detokenizer have to
// know in the request's options: constraint, stop strings, special tokens that show.
Result<AnswerSyntax> plan_answer(Service& service, ChatRequest& chat, const PreparedPrompt& prompt);

}  // namespace saccade::api
