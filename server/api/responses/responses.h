#pragma once

#include "server/api/service/call.h"

namespace saccade::api {

// POST /v1/responses
http::HttpReply create_response(Call& call);
// POST /v1/responses/input_tokens
http::HttpReply count_response_tokens(Call& call);
// GET /v1/responses/{id}
http::HttpReply get_response(Service& service, http::HttpRequest& request, http::Client& client);
// GET /v1/responses/{id}/input_items
http::HttpReply list_input_items(Service& service, http::HttpRequest& request,
                                 http::Client& client);
// DELETE /v1/responses/{id}
http::HttpReply delete_response(Service& service, http::HttpRequest& request, http::Client& client);
// POST /v1/responses/{id}/cancel
http::HttpReply cancel_response(Service& service, http::HttpRequest& request, http::Client& client);

}  // namespace saccade::api
