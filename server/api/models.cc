#include "server/api/models.h"

#include "server/api/answer.h"

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

}  // namespace

http::HttpReply list_models(const Service& service) {
  Json models = Json::array();
  for (const auto* names : {&service.options.names, &service.options.adapters}) {
    for (const std::string& name : *names) models.push_back(model_json(service, name));
  }
  Json first = models.front()["id"], last = models.back()["id"];
  return http::json_reply(to_text({{"object", "list"},
                                   {"data", std::move(models)},
                                   {"first_id", std::move(first)},
                                   {"last_id", std::move(last)},
                                   {"has_more", false}}));
}

http::HttpReply get_model(const Service& service, const std::string& id) {
  const Status status = service.check_model(id);
  if (!status.ok()) return error_response(status.with_param("model"));
  return http::json_reply(to_text(model_json(service, id)));
}

}  // namespace saccade::api
