#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace saccade {

// The value as Python writes it: JSON text with True, False and None. Invalid UTF-8 is replaced.
std::string python_literal(const nlohmann::ordered_json& value);

// Whether `name` may name an argument (ASCII; keywords of the language are not looked for).
bool is_python_identifier(const std::string& name);

}  // namespace saccade
