#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "server/api/service/service.h"
#include "server/http/http_server.h"

namespace saccade::api {

// The service behind the routes. Null while the model loads: the port is open already, and every
// route answers 503.
using ServiceSlot = std::atomic<Service*>;

// All routes of the server. `slot` has to outlive the server they are given to.
std::vector<http::Route> make_routes(const ServiceSlot& slot);

}  // namespace saccade::api
