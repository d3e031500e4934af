#pragma once

#include "server/api/service/service.h"
#include "server/http/http_server.h"

namespace saccade::api {

// POST /tokenize: {"prompt"} or {"messages"} -> {count, max_model_len, tokens, token_strs} as vLLM
// has it, with the pictures' share of the count beside it.
http::HttpReply tokenize(Service& service, http::HttpRequest& request, http::Client& client);

// POST /detokenize: {"tokens"} -> {"prompt"}.
http::HttpReply detokenize(Service& service, http::HttpRequest& request, http::Client& client);

}  // namespace saccade::api
