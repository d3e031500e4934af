#include "server/prompt/template/arguments.h"

#include "server/prompt/template/operators.h"

namespace saccade::jinja {

Parameters::Parameters(std::string_view function, const Arguments& arguments,
                       std::initializer_list<std::string_view> names, size_t required)
    : function_(function) {
  const std::string call = std::string(function) + "()";
  if (arguments.positional.size() > names.size()) {
    throw TemplateError(call + " takes at most " + std::to_string(names.size()) + " arguments");
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    size_t i = 0;
    while (i < names.size() && names.begin()[i] != name) ++i;
    if (i == names.size()) {
      throw TemplateError(call + " got an unexpected keyword argument '" + name + "'");
    }
    if (values_[i] != nullptr) {
      throw TemplateError(call + " got multiple values for argument '" + name + "'");
    }
    values_[i] = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values_[i] == nullptr) {
      throw TemplateError(call + " misses the argument '" + std::string(names.begin()[i]) + "'");
    }
  }
}

bool Parameters::flag(size_t i, bool otherwise) const {
  return values_[i] == nullptr ? otherwise : truthy(*values_[i]);
}

int64_t require_int(const Value& value) {
  if (value.is_integral()) return value.as_int();
  refuse_undefined(value);
  throw TemplateError("'" + std::string(type_name(value)) +
                      "' object cannot be interpreted as an integer");
}

int64_t Parameters::integer(size_t i, int64_t otherwise) const {
  return values_[i] == nullptr ? otherwise : require_int(*values_[i]);
}

std::optional<int64_t> Parameters::optional_integer(size_t i) const {
  const Value* value = unless_none(i);
  if (value == nullptr) return std::nullopt;
  return require_int(*value);
}

const Value& Parameters::string(size_t i) const {
  const Value& value = *values_[i];
  if (value.is_string()) return value;
  refuse_undefined(value);
  throw TemplateError(std::string(function_) + "() needs a string, not '" +
                      std::string(type_name(value)) + "'");
}

const Value* Parameters::unless_none(size_t i) const {
  return values_[i] == nullptr || values_[i]->is_none() ? nullptr : values_[i];
}

}  // namespace saccade::jinja
