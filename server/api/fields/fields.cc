#include "server/api/fields/fields.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "server/api/request/generation_options.h"

namespace saccade::api {

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

Fields::Fields(const Json& object, std::initializer_list<FieldTable> tables,
               const ModelLimits& limits, std::string path)
    : object_(object), tables_(tables), limits_(&limits), path_(std::move(path)) {
  for (const FieldTable table : tables_) {
    for (const Field& entry : table) {
      const Json* member = find(entry.name);
      if (member == nullptr) {
        if (entry.required) fail(this->path(entry.name), this->path(entry.name) + " is missing");
      } else if (ok()) {
        status_ = check_field(entry, *member, this->path(entry.name), limits);
      }
    }
  }
}

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

bool Fields::adopt(const Fields& inner) {
  fail(inner.status());
  return inner.ok();
}

void Fields::fail(const Status& status) {
  if (ok()) status_ = status;
}

const Field* Fields::field(const char* name) const {
  for (const FieldTable table : tables_) {
    for (const Field& entry : table) {
      if (std::strcmp(entry.name, name) == 0) return &entry;
    }
  }
  return nullptr;
}

std::optional<double> Fields::default_of(const char* name) const {
  const Field* entry = field(name);
  if (entry == nullptr || !entry->has_default) return std::nullopt;
  return entry->default_value.get(*limits_);
}

void Fields::read(const char* name, bool& value) {
  const Json* member = wanted(name);
  if (member == nullptr) {
    if (const auto absent = default_of(name)) value = *absent != 0;
    return;
  }
  if (!member->is_boolean()) {
    return fail(path(name),
                path(name) + " must be a boolean, not " + std::string(kind_of(*member)));
  }
  value = member->get<bool>();
}

void Fields::read(const char* name, std::optional<bool>& value) {
  bool given = false;
  if (wanted(name) == nullptr) return;
  read(name, given);
  if (ok()) value = given;
}

void Fields::read(const char* name, std::string& value) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  if (!member->is_string()) {
    return fail(path(name), path(name) + " must be a string, not " + std::string(kind_of(*member)));
  }
  value = member->get<std::string>();
}

void Fields::read(const char* name, float& value) {
  if (const Json* member = wanted(name)) {
    value = member->get<float>();
  } else if (const auto absent = default_of(name)) {
    value = static_cast<float>(*absent);
  }
}

void Fields::read(const char* name, int& value) {
  if (const Json* member = wanted(name)) {
    value = static_cast<int>(member->get<double>());
  } else if (const auto absent = default_of(name)) {
    value = static_cast<int>(*absent);
  }
}

void Fields::read(const char* name, std::optional<int>& value) {
  if (const Json* member = wanted(name)) value = static_cast<int>(member->get<double>());
}

void Fields::read(const char* name, std::optional<int64_t>& value) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  // A whole number may come as 1.0, where it is exact.
  const bool fits =
      member->is_number_float()
          ? std::abs(member->get<double>()) <= kNoMaximum
          : !member->is_number_unsigned() ||
                member->get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()};
  if (!fits) return fail(path(name), path(name) + " must be a 64-bit integer");
  value = member->get<int64_t>();
}

void Fields::read(const char* name, int& value, Range range) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  Field entry{name, FieldType::kInteger};
  entry.min = range.min;
  entry.max = range.max;
  fail(check_field(entry, *member, path(name), ModelLimits()));
  if (ok()) value = static_cast<int>(member->get<double>());
}

void Fields::read_strings(const char* name, std::vector<std::string>& values) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  if (member->is_string()) return values.push_back(member->get<std::string>());
  for (const Json& text : *member) values.push_back(text.get<std::string>());
}

void Fields::read_ids(const char* name, std::vector<int32_t>& values) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  values.reserve(member->size());
  for (const Json& id : *member) values.push_back(static_cast<int32_t>(id.get<double>()));
}

void Fields::read_biases(const char* name, std::vector<std::pair<int32_t, float>>& values) {
  const Json* member = wanted(name);
  if (member == nullptr) return;
  for (const auto& [key, bias] : member->items()) {
    int32_t id = 0;
    std::from_chars(key.data(), key.data() + key.size(), id);
    values.emplace_back(id, bias.get<float>());
  }
}

}  // namespace saccade::api
