#pragma once

#include <string>

#include "engine/core/status.h"

// The one place where a failure becomes what an OpenAI client reads.
namespace saccade::http {

struct ErrorReply {
  int status = 500;
  std::string body;          // {"error":{"message","type","param","code"}}
  bool retry_later = false;  // with a Retry-After header
};

ErrorReply error_reply(const Status& status);

// For failures of HTTP itself (404 of a route, 405, 431 ...). `param` and `code` may be empty:
// null.
std::string error_body(int status, const std::string& message, const std::string& param = {},
                       const std::string& code = {});

}  // namespace saccade::http
