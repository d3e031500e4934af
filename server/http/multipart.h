#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"

namespace saccade::http {

struct FormPart {
  std::string name;
  std::string filename;   // empty: a plain field
  std::string_view body;  // inside the form's text
};

// The parts of a multipart/form-data body (RFC 7578), at most 64. `content_type` is the request's,
// with its boundary. InvalidArgument for anything else.
Result<std::vector<FormPart>> parse_multipart(std::string_view content_type, std::string_view body);

}  // namespace saccade::http
