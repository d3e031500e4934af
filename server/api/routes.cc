#include "server/api/routes.h"

#include "server/api/answer/answer.h"
#include "server/api/chat/chat.h"
#include "server/api/completions/completions.h"
#include "server/api/embeddings.h"
#include "server/api/fields/openapi.h"
#include "server/api/fields/request_tables.h"
#include "server/api/files/files.h"
#include "server/api/messages/messages.h"
#include "server/api/models.h"
#include "server/api/responses/responses.h"
#include "server/api/score.h"
#include "server/api/tokenize.h"
#include "server/web/page.h"

namespace saccade::api {
namespace {

using ServiceHandler = std::function<http::HttpReply(Service&, http::HttpRequest&, http::Client&)>;
using CallHandler = std::function<http::HttpReply(Call&)>;

// In the shape `body`; null: OpenAI's.
http::HttpReply refusal(const Status& status, const http::HttpRequest& request,
                        http::ErrorBody body) {
  http::HttpReply reply = error_response(status);
  if (body != nullptr) {
    reply.body = body(reply.status, status.message(), status.param(), request.id);
  }
  return reply;
}

// Answers 503 until there is a service.
http::Handler when_ready(const ServiceSlot& slot, ServiceHandler handler,
                         http::ErrorBody error_body) {
  return [&slot, handler = std::move(handler), error_body](http::HttpRequest& request,
                                                           http::Client& client) {
    Service* service = slot.load();
    if (service == nullptr) {
      const Status loading(StatusCode::kUnavailable, "the model is loading");
      return refusal(loading, request, error_body);
    }
    return handler(*service, request, client);
  };
}

// For routes that give the server work: refuses while draining, and counts against the key's
// limits. `error_body`: the shape of refusals; null: OpenAI's.
ServiceHandler admitted(CallHandler handler, http::ErrorBody error_body = nullptr) {
  return [handler = std::move(handler), error_body](Service& service, http::HttpRequest& request,
                                                    http::Client& client) {
    auto ticket = service.in_flight.enter();
    if (!ticket) return refusal(kShuttingDown, request, error_body);
    Account& account = service.account(request.key);
    Call call{service, std::make_shared<Admission>(std::move(ticket), account, request.key, client),
              request, client};
    const Status status = call.admission->take(Account::kRequests, 1);
    http::HttpReply reply = status.ok() ? handler(call) : refusal(status, request, error_body);
    if (reply.status == 429) set_retry_after(reply, call.admission->retry_after());
    for (auto& header : account.headers(Clock::now())) reply.headers.push_back(std::move(header));
    return reply;
  };
}

// The same for routes that need nothing of the call but the request.
ServiceHandler admitted(ServiceHandler handler) {
  return admitted([handler = std::move(handler)](Call& call) {
    return handler(call.service, call.request, call.client);
  });
}

http::HttpReply health(Service& service, http::HttpRequest&, http::Client&) {
  if (service.in_flight.closed()) return error_response(kShuttingDown);
  return http::json_reply(R"({"status":"ok"})");
}

http::HttpReply version(Service&, http::HttpRequest&, http::Client&) {
  return http::json_reply(to_text({{"version", SACCADE_VERSION}}));
}

// What llama-server's clients ask about the model before they send anything.
http::HttpReply props(Service& service, http::HttpRequest&, http::Client&) {
  const SamplingDefaults& defaults = service.limits.defaults;
  const Json params = {{"temperature", defaults.temperature},
                       {"top_k", defaults.top_k},
                       {"top_p", defaults.top_p},
                       {"min_p", defaults.min_p}};
  return http::json_reply(
      to_text({{"default_generation_settings",
                {{"n_ctx", service.limits.max_model_len}, {"params", params}}},
               {"model_alias", service.options.names.front()},
               {"modalities", {{"vision", service.info.max_images > 0}, {"audio", false}}},
               {"chat_template", service.options.chat_template},
               {"bos_token", service.tokenizer->bos_token()},
               {"eos_token", service.tokenizer->eos_token()},
               {"build_info", std::string("saccade ") + SACCADE_VERSION}}));
}

http::HttpReply metrics(Service& service, http::HttpRequest&, http::Client&) {
  http::HttpReply reply = http::json_reply(service.metrics.text(service.engine.stats()));
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return reply;
}

http::HttpReply models(Service& service, http::HttpRequest& request, http::Client&) {
  return list_models(service, request);
}

http::HttpReply model(Service& service, http::HttpRequest& request, http::Client&) {
  return get_model(service, request);
}

// `store` changes nothing: a chat that is asked for later is not there.
http::HttpReply stored_chat(Service&, http::HttpRequest&, http::Client&) {
  return error_response(Status(StatusCode::kNotFound,
                               "chat completions are not stored here; /v1/responses are",
                               "completion_id"));
}

http::HttpReply page(http::HttpRequest&, http::Client&) {
  http::HttpReply reply = http::json_reply(std::string(web::kPage));
  reply.content_type = "text/html; charset=utf-8";
  reply.headers.emplace_back("Content-Security-Policy",
                             "default-src 'none'; style-src 'unsafe-inline'; "
                             "script-src 'unsafe-inline'; img-src data:; media-src data:; "
                             "connect-src 'self'; form-action 'none'; base-uri 'none'");
  reply.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return reply;
}

// The description of every route but the page and the description itself.
std::vector<RouteDoc> route_docs() {
  const std::vector<FieldTable> chat = {kGenerationFields, kForeignFields, kChatFields,
                                        kTemplateFields};
  const std::vector<FieldTable> none;
  std::vector<RouteDoc> docs = {
      {"POST", "/v1/chat/completions", "OpenAI's chat completions", chat, true},
      {"POST",
       "/v1/completions",
       "OpenAI's completions",
       {kGenerationFields, kForeignFields, kCompletionFields},
       true},
      {"POST",
       "/v1/responses",
       "OpenAI's responses",
       {kGenerationFields, kForeignFields, kResponsesFields},
       true},
      {"POST",
       "/v1/responses/input_tokens",
       "Tokens of the input",
       {kGenerationFields, kForeignFields, kResponsesFields}},
      {"GET", "/v1/responses/{id}", "A stored response", none},
      {"DELETE", "/v1/responses/{id}", "Forgets a response", none},
      {"GET", "/v1/responses/{id}/input_items", "What it answered", none},
      {"POST", "/v1/responses/{id}/cancel", "Only for what runs in the background", none},
      {"POST",
       "/v1/messages",
       "Anthropic's messages",
       {kGenerationFields, kForeignFields, kMessagesFields},
       true},
      {"POST",
       "/v1/messages/count_tokens",
       "Tokens of the messages",
       {kGenerationFields, kForeignFields, kMessagesFields}},
      {"POST", "/v1/embeddings", "Pooled hidden states", {kEmbeddingsFields, kTemplateFields}},
      {"POST", "/v1/score", "Log-probabilities of options", {kScoreFields, kTemplateFields}},
      {"POST", "/v1/files", "Sends a picture once", none, false, true},
      {"GET", "/v1/files", "The files there are", none},
      {"GET", "/v1/files/{id}", "One file", none},
      {"DELETE", "/v1/files/{id}", "Forgets a file", none},
      {"POST", "/tokenize", "Token ids and counts", {kTokenizeFields, kTemplateFields}},
      {"POST", "/detokenize", "Text of token ids", {kDetokenizeFields}},
      {"GET", "/v1/models", "The served names", none},
      {"GET", "/v1/models/{id}", "One of them", none},
      {"GET", "/version", "The server's own", none},
      {"GET", "/props", "Of the model, as llama-server tells it", none},
      {"GET", "/ping", "As /health", none, false, false, false},
      {"GET", "/v1/health", "As /health", none, false, false, false},
      {"GET", "/health", "Whether requests are answered", none, false, false, false},
      {"GET", "/metrics", "Prometheus text", none},
  };
  docs.back().content_type = "text/plain";
  return docs;
}

http::HttpReply openapi(Service& service, http::HttpRequest&, http::Client&) {
  return http::json_reply(to_text(openapi_document(route_docs(), service.limits, SACCADE_VERSION)));
}

}  // namespace

std::vector<http::Route> make_routes(const ServiceSlot& slot) {
  std::vector<http::Route> routes;
  const auto add = [&](const char* method, const char* path, ServiceHandler handler,
                       http::ErrorBody error_body = nullptr) {
    routes.push_back({method, path, when_ready(slot, std::move(handler), error_body)});
    routes.back().error_body = error_body;
  };
  add("POST", "/v1/chat/completions", admitted(chat_completions));
  for (const char* method : {"GET", "POST", "DELETE"}) {
    add(method, "/v1/chat/completions/{id}", stored_chat);
  }
  add("GET", "/v1/chat/completions/{id}/messages", stored_chat);
  add("POST", "/v1/completions", admitted(completions));
  add("POST", "/v1/responses", admitted(create_response));
  add("POST", "/v1/responses/input_tokens", admitted(count_response_tokens));
  add("GET", "/v1/responses/{id}", get_response);
  add("DELETE", "/v1/responses/{id}", delete_response);
  add("GET", "/v1/responses/{id}/input_items", list_input_items);
  add("POST", "/v1/responses/{id}/cancel", cancel_response);
  add("POST", "/v1/messages", admitted(create_message, message_error_body), message_error_body);
  add("POST", "/v1/messages/count_tokens", admitted(count_message_tokens, message_error_body),
      message_error_body);
  add("POST", "/v1/embeddings", admitted(embeddings));
  add("POST", "/v1/score", admitted(score));
  add("POST", "/v1/files", admitted(upload_file));
  add("GET", "/v1/files", admitted(list_files));
  add("GET", "/v1/files/{id}", admitted(get_file));
  add("DELETE", "/v1/files/{id}", admitted(delete_file));
  add("GET", "/v1/files/{id}/content", admitted(get_file_content));
  add("POST", "/tokenize", admitted(tokenize));
  add("POST", "/detokenize", admitted(detokenize));
  add("GET", "/v1/models", models);
  add("GET", "/v1/models/*", model);
  add("GET", "/openapi.json", openapi);
  add("GET", "/metrics", metrics);
  add("GET", "/version", version);
  add("GET", "/props", props);
  for (const char* path : {"/health", "/v1/health", "/ping"}) {
    add("GET", path, health);
    routes.back().needs_key = false;
  }
  routes.push_back({"GET", "/", page});
  routes.back().needs_key = false;  // it asks for the key, and sends it with what it calls
  return routes;
}

}  // namespace saccade::api
