#include "server/http/errors.h"

#include <nlohmann/json.hpp>

namespace saccade::http {
namespace {

// As OpenAI names them: 401 and 404, too, are invalid requests, told apart by their code.
const char* error_type(int status) {
  switch (status) {
    case 403:
      return "permission_error";
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
    case StatusCode::kTooLong:
      return reply(400, "context_length_exceeded");
    case StatusCode::kNotFound:
      return reply(404, "not_found");
    case StatusCode::kModelNotFound:
      return reply(404, "model_not_found");
    case StatusCode::kPreviousNotFound:
      return reply(400, "previous_response_not_found");
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
