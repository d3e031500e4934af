#pragma once

#include "server/api/service.h"
#include "server/http/http_server.h"

namespace saccade::api {

// The body in the route's native types. Empties the body: it is as large as its pictures, and not
// needed any more. kInvalidArgument with the field's path; kNotFound for a model not served here.
template <typename T>
Result<T> read_request(const Service& service, http::HttpRequest& request,
                       Result<T> (*parse)(const Json& body, const ModelLimits& limits)) {
  Result<Json> body = parse_body(request.body);
  request.free_body();
  if (!body) return body.status();
  const auto name = body->find("model");
  const std::string model =
      name != body->end() && name->is_string() ? name->template get<std::string>() : std::string();
  if (const Json* defaults = service.defaults_of(model)) {
    for (const auto& [field, value] : defaults->items()) {
      Json& member = (*body)[field];
      if (member.is_null()) member = value;
    }
  }
  Result<T> parsed = parse(*body, service.limits);
  if (!parsed) return parsed;
  if (const Status status = service.check_model(model); !status.ok()) return status;
  if constexpr (requires { parsed->options.adapter; }) {
    parsed->options.adapter = service.adapter_of(model);
  }
  return parsed;
}

}  // namespace saccade::api
