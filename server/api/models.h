#pragma once

#include "server/api/service.h"
#include "server/http/http_server.h"

namespace saccade::api {

// GET /v1/models
http::HttpReply list_models(const Service& service);
// GET /v1/models/{id}
http::HttpReply get_model(const Service& service, const std::string& id);

}  // namespace saccade::api
