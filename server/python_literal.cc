#include "server/python_literal.h"

#include <algorithm>
#include <cctype>

namespace saccade {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string python_literal(const Json& value) {
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (!value.is_structured()) return text_of(value);
  std::string text;
  for (const auto& [name, inner] : value.items()) {
    if (!text.empty()) text += ", ";
    if (value.is_object()) text += text_of(name) + ": ";
    text += python_literal(inner);
  }
  return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

bool is_python_identifier(const std::string& name) {
  const auto part = [](unsigned char c) { return c == '_' || std::isalnum(c); };
  return !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), part);
}

}  // namespace saccade
