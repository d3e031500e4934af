#include "server/api/models.h"

#include <ctime>

#include "server/api/answer.h"

namespace saccade::api {
namespace {

// RFC 3339
std::string utc(int64_t unix_time) {
  const auto time = static_cast<std::time_t>(unix_time);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

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
          {"created_at", utc(service.created)},
          {"max_input_tokens", service.limits.max_model_len}};
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
  if (!status.ok() || id.empty()) return error_response(status.with_param("model"));
  return http::json_reply(to_text(model_json(service, id)));
}

}  // namespace saccade::api
