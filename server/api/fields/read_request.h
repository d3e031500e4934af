#pragma once

#include <functional>

#include "server/api/request/file_part.h"
#include "server/api/service/service.h"
#include "server/http/http_server.h"

namespace saccade::api {

// The body in the route's native types, with the text of the files it holds or names. Empties the
// body: it is as large as its pictures, and not needed any more. kInvalidArgument with the field's
// path; kModelNotFound for a model not served here. `complete` (null: nothing) puts into the body
// what stands elsewhere, before it is parsed.
template <typename T>
Result<T> read_request(Service& service, http::HttpRequest& request,
                       Result<T> (*parse)(const Json& body, const ModelLimits& limits),
                       const std::function<Status(Json& body)>& complete = nullptr) {
  Result<Json> body = parse_body(request.body);
  request.free_body();
  if (!body) return body.status();
  if (complete) {
    if (const Status status = complete(*body); !status.ok()) return status;
  }
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
  if constexpr (requires { parsed->conversation; }) {
    const Status status = load_files(parsed->conversation, service.files, request.key);
    if (!status.ok()) return status;
  }
  return parsed;
}

}  // namespace saccade::api
