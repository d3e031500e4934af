#pragma once

#include <string_view>

#include "server/prompt/template/ast.h"

namespace saccade::jinja {

// Throws TemplateError with the line.
Template parse_template(std::string_view source);

}  // namespace saccade::jinja
