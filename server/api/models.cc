#include "server/api/models.h"

#include "server/api/answer.h"

namespace saccade::api {
namespace {

// An adapter's parent is the model it was made for, as in vLLM's list.
Json model_json(const Service& service, const std::string& name) {
  const bool adapter = service.adapter_of(name) > 0;
  const std::string& base = service.options.names.front();
  return {{"id", name},
          {"object", "model"},
          {"created", service.created},
          {"owned_by", "saccade"},
          {"root", adapter ? name : base},
          {"parent", adapter ? Json(base) : Json()},
          {"max_model_len", service.limits.max_model_len}};
}

}  // namespace

http::HttpReply list_models(const Service& service) {
  Json models = Json::array();
  for (const auto* names : {&service.options.names, &service.options.adapters}) {
    for (const std::string& name : *names) models.push_back(model_json(service, name));
  }
  return http::json_reply(to_text({{"object", "list"}, {"data", std::move(models)}}));
}

http::HttpReply get_model(const Service& service, const std::string& id) {
  const Status status = service.check_model(id);
  if (!status.ok() || id.empty()) return error_response(status.with_param("model"));
  return http::json_reply(to_text(model_json(service, id)));
}

}  // namespace saccade::api
