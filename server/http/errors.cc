#include "server/http/errors.h"

#include <nlohmann/json.hpp>

namespace saccade::http {
namespace {

const char* error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "service_unavailable_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

}  // namespace

std::string error_body(int status, const std::string& message, const std::string& param,
                       const std::string& code) {
  const auto or_null = [](const std::string& text) {
    return text.empty() ? nlohmann::json() : nlohmann::json(text);
  };
  const nlohmann::ordered_json body = {{"error",
                                        {{"message", message},
                                         {"type", error_type(status)},
                                         {"param", or_null(param)},
                                         {"code", or_null(code)}}}};
  // User text may be quoted in a message, and it need not be UTF-8.
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ErrorReply error_reply(const Status& status) {
  const auto reply = [&](int code, const char* name) {
    return ErrorReply{code, error_body(code, status.message(), status.param(), name),
                      code == 429 || code == 503};
  };
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
      return reply(400, "");
    case StatusCode::kNotFound:
      return reply(404, status.param() == "model" ? "model_not_found" : "not_found");
    case StatusCode::kPayloadTooLarge:
      return reply(413, "request_too_large");
    case StatusCode::kResourceExhausted:
      return reply(429, "queue_full");
    case StatusCode::kRateLimited:
      return reply(429, "rate_limit_exceeded");
    case StatusCode::kUnavailable:
      return reply(503, "unavailable");
    case StatusCode::kCancelled:
      return reply(499, "cancelled");
    case StatusCode::kOk:
    case StatusCode::kInternal:
      break;
  }
  return reply(500, "internal_error");
}

}  // namespace saccade::http
