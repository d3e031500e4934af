#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/http/request_head.h"

// Cross-origin requests (the Fetch standard's CORS protocol). Off unless origins are allowed;
// credentials (cookies) never are.
namespace saccade::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

// Headers of an answer. `origins`: allowed ones as browsers send them, or "*". Empty when none are
// allowed or the request brings none.
Headers cors_headers(const std::vector<std::string>& origins, const RequestHead& head);

// Headers of the answer to OPTIONS, those above included. `methods`: what the route knows.
Headers options_headers(const std::vector<std::string>& origins, const RequestHead& head,
                        const std::string& methods);

}  // namespace saccade::http
