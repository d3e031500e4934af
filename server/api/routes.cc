#include "server/api/routes.h"

#include "server/api/answer.h"
#include "server/api/chat.h"
#include "server/api/completions.h"
#include "server/api/models.h"
#include "server/api/tokenize.h"
#include "server/web/page.h"

namespace saccade::api {
namespace {

using ServiceHandler = std::function<http::HttpReply(Service&, http::HttpRequest&, http::Client&)>;

// Answers 503 until there is a service.
http::Handler when_ready(const ServiceSlot& slot, ServiceHandler handler) {
  return [&slot, handler = std::move(handler)](http::HttpRequest& request, http::Client& client) {
    Service* service = slot.load();
    if (service == nullptr) {
      return error_response(Status(StatusCode::kUnavailable, "the model is loading"));
    }
    return handler(*service, request, client);
  };
}

http::HttpReply health(Service& service, http::HttpRequest&, http::Client&) {
  if (service.in_flight.closed()) {
    return error_response(Status(StatusCode::kUnavailable, "the server is shutting down"));
  }
  return http::json_reply(R"({"status":"ok"})");
}

http::HttpReply metrics(Service& service, http::HttpRequest&, http::Client&) {
  http::HttpReply reply = http::json_reply(service.metrics.text(service.engine.stats()));
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return reply;
}

http::HttpReply page(http::HttpRequest&, http::Client&) {
  http::HttpReply reply = http::json_reply(std::string(web::kPage));
  reply.content_type = "text/html; charset=utf-8";
  reply.headers.emplace_back("Content-Security-Policy",
                             "default-src 'none'; style-src 'unsafe-inline'; "
                             "script-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'");
  reply.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return reply;
}

}  // namespace

std::vector<http::Route> make_routes(const ServiceSlot& slot) {
  const auto list = [](Service& service, http::HttpRequest&, http::Client&) {
    return list_models(service);
  };
  const auto get = [](Service& service, http::HttpRequest& request, http::Client&) {
    return get_model(service, request.suffix);
  };
  std::vector<http::Route> routes;
  const auto add = [&](const char* method, const char* path, ServiceHandler handler) {
    routes.push_back({method, path, when_ready(slot, std::move(handler))});
  };
  add("POST", "/v1/chat/completions", chat_completions);
  add("POST", "/v1/completions", completions);
  add("GET", "/v1/models", list);
  add("GET", "/v1/models/*", get);
  add("POST", "/tokenize", tokenize);
  add("POST", "/detokenize", detokenize);
  add("GET", "/metrics", metrics);
  add("GET", "/health", health);
  routes.back().needs_key = false;
  routes.push_back({"GET", "/", page});
  return routes;
}

}  // namespace saccade::api
