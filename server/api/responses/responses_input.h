#pragma once

#include "server/api/fields/fields.h"
#include "server/prompt/conversation.h"

namespace saccade::api {

// `input` of /v1/responses: one text, or items (messages, calls and their outputs, reasoning), as
// the turns of a conversation. `items` becomes the input as items that have ids. Mistakes are kept
// in `fields`.
void read_responses_input(Fields& fields, const ModelLimits& limits, Conversation& conversation,
                          Json& items);

}  // namespace saccade::api
