#pragma once

#include "server/api/service/call.h"

namespace saccade::api {

// POST /v1/completions
http::HttpReply completions(Call& call);

}  // namespace saccade::api
