#include <catch2/catch_test_macros.hpp>

#include "server/api/fields/json.h"
#include "server/http/errors.h"
#include "server/http/sse.h"

using namespace saccade;

TEST_CASE("each failure has one status and OpenAI's error body") {
  const struct {
    StatusCode code;
    int status;
    const char* type;
    bool retry;
  } kRows[] = {
      {StatusCode::kInvalidArgument, 400, "invalid_request_error", false},
      {StatusCode::kTooLong, 400, "invalid_request_error", false},
      {StatusCode::kNotFound, 404, "invalid_request_error", false},
      {StatusCode::kModelNotFound, 404, "invalid_request_error", false},
      {StatusCode::kPreviousNotFound, 400, "invalid_request_error", false},
      {StatusCode::kPayloadTooLarge, 413, "invalid_request_error", false},
      {StatusCode::kResourceExhausted, 429, "rate_limit_error", true},
      {StatusCode::kRateLimited, 429, "rate_limit_error", true},
      {StatusCode::kUnavailable, 503, "service_unavailable_error", true},
      {StatusCode::kCancelled, 499, "invalid_request_error", false},
      {StatusCode::kInternal, 500, "server_error", false},
  };
  for (const auto& row : kRows) {
    CAPTURE(row.status);
    const http::ErrorReply reply = http::error_reply(Status(row.code, "why", "n"));
    CHECK(reply.status == row.status);
    CHECK(reply.retry_later == row.retry);
    const api::Json error = api::Json::parse(reply.body).at("error");
    CHECK(error.at("message") == "why");
    CHECK(error.at("type") == row.type);
    CHECK(error.at("param") == "n");
  }
}

TEST_CASE("an error without a field has null, and its text is always UTF-8") {
  const auto reply = http::error_reply(invalid_argument("bad \xff byte"));
  const api::Json error = api::Json::parse(reply.body).at("error");
  CHECK(error.at("param").is_null());
  CHECK(error.at("code").is_null());
  CHECK(error.at("message") == "bad \xef\xbf\xbd byte");
}

TEST_CASE("server-sent events") {
  CHECK(http::sse_event("{}") == "data: {}\n\n");
  CHECK(http::sse_done() == "data: [DONE]\n\n");
  CHECK(http::sse_keepalive().front() == ':');
  CHECK(http::sse_keepalive().ends_with("\n\n"));
}

TEST_CASE("the memory of a value is mostly that of its texts") {
  const std::string text(1000, 'a');
  const api::Json value = {{text, {text, text}}, {"b", nullptr}};
  CHECK(api::memory_of(value) >= 3000);
  CHECK(api::memory_of(value) < 3300);
}
