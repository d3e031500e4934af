#pragma once

#include "server/api/service/service.h"
#include "server/http/http_server.h"

namespace saccade::api {

// GET /v1/models; in pages (limit, after_id, before_id) for Anthropic's clients.
http::HttpReply list_models(const Service& service, const http::HttpRequest& request);
// GET /v1/models/{id}
http::HttpReply get_model(const Service& service, const http::HttpRequest& request);

}  // namespace saccade::api
