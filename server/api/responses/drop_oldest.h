#pragma once

#include "server/api/request/generation_options.h"
#include "server/api/request/tools.h"
#include "server/api/service/call.h"
#include "server/prompt/conversation.h"

namespace saccade::api {

// truncation "auto": leaves out the oldest turns, as few as let prompt and answer fit into the
// model's length. A turn goes as a whole, the answer and the calls that followed it with it; of the
// last one, calls with their results. What is left: system messages, the last user's message and
// what came last. Where that is still too long, prepare_chat says so. Errors as prepare_chat.
Status drop_oldest(Call& call, const ToolOptions& tools, const GenerationOptions& options,
                   Conversation& conversation);

}  // namespace saccade::api
