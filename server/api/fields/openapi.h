#pragma once

#include <string>
#include <vector>

#include "server/api/request/generation_options.h"

namespace saccade::api {

// What the description of one route needs beside its path.
struct RouteDoc {
  std::string method;
  std::string path;  // "/v1/models/{id}"
  std::string summary;
  std::vector<FieldTable> body;  // the tables its parser reads by; none: no body
  bool streams = false;          // with "stream": true, as server-sent events
  bool form = false;             // the body is multipart/form-data
  bool needs_key = true;
  std::string content_type = "application/json";  // of the answer
};

// The OpenAPI 3.1 document of these routes. Each field comes from the tables.
Json openapi_document(const std::vector<RouteDoc>& routes, const ModelLimits& limits,
                      const std::string& version);

}  // namespace saccade::api
