#include "server/api/models.h"

#include "server/api/answer.h"

namespace saccade::api {
namespace {

Json model_json(const Service& service, const std::string& name) {
  return {{"id", name},
          {"object", "model"},
          {"created", service.created},
          {"owned_by", "saccade"},
          {"root", service.options.names.front()},
          {"parent", nullptr},
          {"max_model_len", service.limits.max_model_len}};
}

}  // namespace

http::HttpReply list_models(const Service& service) {
  Json models = Json::array();
  for (const std::string& name : service.options.names) models.push_back(model_json(service, name));
  return http::json_reply(to_text({{"object", "list"}, {"data", std::move(models)}}));
}

http::HttpReply get_model(const Service& service, const std::string& id) {
  const Status status = service.check_model(id);
  if (!status.ok() || id.empty()) return error_response(status.with_param("model"));
  return http::json_reply(to_text(model_json(service, id)));
}

}  // namespace saccade::api
