#include "server/api/models.h"

#include "server/api/answer/answer.h"
#include "server/api/files/list_page.h"
#include "server/api/messages/messages.h"

namespace saccade::api {
namespace {

// OpenAI's description of a model and, from `type` on, Anthropic's. An adapter's parent is the
// model it was made for, as in vLLM's list.
Json model_json(const Service& service, const std::string& name) {
  const bool adapter = service.adapter_of(name) > 0;
  const std::string& base = service.options.names.front();
  return {{"id", name},
          {"object", "model"},
          {"created", service.created},
          {"owned_by", "saccade"},
          {"root", adapter ? name : base},
          {"parent", adapter ? Json(base) : Json()},
          {"max_model_len", service.limits.max_model_len},
          {"type", "model"},
          {"display_name", name},
          {"created_at", utc_text(service.created)},
          {"max_input_tokens", service.limits.max_model_len},
          {"max_tokens", service.limits.max_model_len},
          {"lifecycle", "active"}};
}

// OpenAI's clients get the whole list, whatever they ask.
Result<ListQuery> read_query(const http::HttpRequest& request, size_t count) {
  constexpr int kListed = 20, kMaxListed = 1000;  // Anthropic's
  if (!request.other_client) return ListQuery{{}, {}, false, static_cast<int64_t>(count)};
  Result<ListQuery> query = read_list_query(request, {{}, {}, false, kListed}, kMaxListed);
  if (!query) return query;
  query->after = http::query_value(request.query, "after_id");
  query->before = http::query_value(request.query, "before_id");
  if (!query->after.empty() && !query->before.empty()) {
    return invalid_argument("before_id and after_id exclude each other", "before_id");
  }
  return query;
}

}  // namespace

http::HttpReply list_models(const Service& service, const http::HttpRequest& request) {
  Json models = Json::array();
  for (const auto* names : {&service.options.names, &service.options.adapters}) {
    for (const std::string& name : *names) models.push_back(model_json(service, name));
  }
  const auto query = read_query(request, models.size());
  if (!query) return error_response(request, query.status());
  const auto page = list_page(std::move(models), *query);
  if (!page)
    return error_response(request, page.status().with_param(page.status().param() + "_id"));
  return http::json_reply(to_text(*page));
}

http::HttpReply get_model(const Service& service, const http::HttpRequest& request) {
  const Status status = service.check_model(request.id_in_path);
  if (!status.ok()) return error_response(request, status.with_param("model"));
  return http::json_reply(to_text(model_json(service, request.id_in_path)));
}

}  // namespace saccade::api
