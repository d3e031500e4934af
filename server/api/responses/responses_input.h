#pragma once

#include "server/api/fields/fields.h"
#include "server/api/responses/responses_request.h"

namespace saccade::api {

// `input` of /v1/responses: one text, or items (messages, calls and their outputs, reasoning), as
// the turns of request.conversation, and in request.input as items that have ids. Mistakes are kept
// in `fields`.
void read_responses_input(Fields& fields, const ModelLimits& limits, ResponsesRequest& request);

}  // namespace saccade::api
