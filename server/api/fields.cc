#include "server/api/fields.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace saccade::api {
namespace {

std::string format_number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) {
    return std::to_string(static_cast<int64_t>(value));
  }
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

std::string range_text(const Fields::Range& range) {
  if (range.max >= std::numeric_limits<int>::max()) {
    return (range.above_min ? "greater than " : "at least ") + format_number(range.min);
  }
  return std::string("between ") + format_number(range.min) +
         (range.above_min ? " (excluded) and " : " and ") + format_number(range.max);
}

}  // namespace

std::string_view kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    default:
      return "a number";
  }
}

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

std::string Fields::path(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

const Json* Fields::find(const char* name) const {
  const auto member = object_.find(name);
  return member == object_.end() || member->is_null() ? nullptr : &*member;
}

const Json* Fields::wanted(const char* name) const { return ok() ? find(name) : nullptr; }

void Fields::fail(const std::string& path, std::string message) {
  if (ok()) status_ = invalid_argument(std::move(message), path);
}

void Fields::read(const char* name, bool& value) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  if (!member->is_boolean()) {
    return fail(path(name),
                path(name) + " must be a boolean, not " + std::string(kind_of(*member)));
  }
  value = member->get<bool>();
}

void Fields::read(const char* name, std::string& value) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  if (!member->is_string()) {
    return fail(path(name), path(name) + " must be a string, not " + std::string(kind_of(*member)));
  }
  value = member->get<std::string>();
}

std::optional<double> Fields::number(const Json& value, const std::string& path,
                                     const Range& range) {
  if (!value.is_number()) {
    fail(path, path + " must be a number, not " + std::string(kind_of(value)));
    return std::nullopt;
  }
  const double result = value.get<double>();
  if (!std::isfinite(result) || result > range.max ||
      (range.above_min ? result <= range.min : result < range.min)) {
    fail(path, path + " must be " + range_text(range));
    return std::nullopt;
  }
  return result;
}

std::optional<int64_t> Fields::integer(const Json& value, const std::string& path,
                                       const Range& range) {
  const auto result = number(value, path, range);
  if (!result) return std::nullopt;
  if (*result != std::floor(*result)) {
    fail(path, path + " must be an integer");
    return std::nullopt;
  }
  return static_cast<int64_t>(*result);
}

void Fields::read(const char* name, float& value, Range range) {
  if (const Json* member = wanted(name)) {
    if (const auto result = number(*member, path(name), range)) value = static_cast<float>(*result);
  }
}

void Fields::read(const char* name, int& value, Range range) {
  if (const Json* member = wanted(name)) {
    if (const auto result = integer(*member, path(name), range)) value = static_cast<int>(*result);
  }
}

void Fields::read(const char* name, std::optional<int>& value, Range range) {
  if (wanted(name) == nullptr) return;
  int result = 0;
  read(name, result, range);
  if (ok()) value = result;
}

void Fields::read(const char* name, std::optional<int64_t>& value) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  const bool too_large = member->is_number_unsigned() &&
                         member->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()};
  if (!member->is_number_integer() || too_large) {
    return fail(path(name), path(name) + " must be a 64-bit integer");
  }
  value = member->get<int64_t>();
}

void Fields::read_strings(const char* name, std::vector<std::string>& values, size_t max_count,
                          size_t max_bytes) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  const Json list = member->is_array() ? *member : Json::array({*member});
  if (list.size() > max_count) {
    return fail(path(name), path(name) + " holds " + std::to_string(list.size()) +
                                " strings; at most " + std::to_string(max_count) + " are taken");
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where =
        member->is_array() ? path(name) + "[" + std::to_string(i) + "]" : path(name);
    if (!list[i].is_string()) {
      return fail(where, where + " must be a string, not " + std::string(kind_of(list[i])));
    }
    const auto& text = list[i].get_ref<const std::string&>();
    if (text.empty()) return fail(where, where + " must not be empty");
    if (text.size() > max_bytes) {
      return fail(where, where + " is longer than " + std::to_string(max_bytes) + " bytes");
    }
    values.push_back(text);
  }
}

void Fields::read_ids(const char* name, std::vector<int32_t>& values, int vocab_size,
                      size_t max_count) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  if (!member->is_array()) {
    return fail(path(name), path(name) + " must be an array, not " + std::string(kind_of(*member)));
  }
  if (member->size() > max_count) {
    return fail(path(name), path(name) + " holds more than " + std::to_string(max_count) + " ids");
  }
  values.reserve(member->size());
  const Range range{0, static_cast<double>(vocab_size - 1)};
  for (size_t i = 0; i < member->size(); ++i) {
    const auto id = integer((*member)[i], path(name) + "[" + std::to_string(i) + "]", range);
    if (!id) return;
    values.push_back(static_cast<int32_t>(*id));
  }
}

void Fields::read_biases(const char* name, std::vector<std::pair<int32_t, float>>& values,
                         int vocab_size, size_t max_count) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  if (!member->is_object()) {
    return fail(path(name),
                path(name) + " must be an object, not " + std::string(kind_of(*member)));
  }
  if (member->size() > max_count) {
    return fail(path(name), path(name) + " holds more than " + std::to_string(max_count) + " keys");
  }
  for (const auto& [key, bias] : member->items()) {
    const std::string where = path(name) + "." + key;
    int32_t id = -1;
    const char* end = key.data() + key.size();
    const auto [stop, error] = std::from_chars(key.data(), end, id);
    if (error != std::errc() || stop != end || id < 0 || id >= vocab_size) {
      return fail(where, "the keys of " + path(name) + " are token ids below " +
                             std::to_string(vocab_size));
    }
    const auto value = number(bias, where, {-100, 100});
    if (!value) return;
    values.emplace_back(id, static_cast<float>(*value));
  }
}

}  // namespace saccade::api
