#pragma once

// Binding of call arguments to parameter names, with Python's rules.

#include <array>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "server/prompt/template/value.h"

namespace saccade::jinja {

// Up to eight parameters; the first `required` must be given. Throws as a Python call does.
class Parameters {
 public:
  Parameters(std::string_view function, const Arguments& arguments,
             std::initializer_list<std::string_view> names, size_t required = 0);

  // Null when it was not given.
  const Value* operator[](size_t i) const { return values_[i]; }
  bool has(size_t i) const { return values_[i] != nullptr; }
  bool flag(size_t i, bool otherwise = false) const;
  // An integer; throws for other types.
  int64_t integer(size_t i, int64_t otherwise) const;
  // As integer(), but None counts as not given.
  std::optional<int64_t> optional_integer(size_t i) const;
  // A string; throws for other types.
  const Value& string(size_t i) const;
  // Not given, None or ...: nothing.
  const Value* unless_none(size_t i) const;

 private:
  std::string_view function_;
  std::array<const Value*, 8> values_{};
};

int64_t require_int(const Value& value);

}  // namespace saccade::jinja
