#pragma once

#include "server/api/responses/response_store.h"

namespace saccade::api {

// Puts into `input` of a /v1/responses body the items that {"type": "item_reference", "id"} names,
// of stored responses that came with the same key: parsers see the items alone. kNotFound with the
// reference's path; what is no array of objects is the parser's to refuse.
Status put_referred_items(ResponseStore& store, int owner, Json& body);

}  // namespace saccade::api
