#include "server/media/processor_fields.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/status.h"

namespace saccade {
namespace {

using Json = nlohmann::json;

constexpr int kMaxSide = 8192;  // of a resized or cropped picture, pixels

}  // namespace

void ProcessorFields::fail(const std::string& field, const std::string& problem) const {
  throw LoadError(where_ + ": " + parent_ + field + ": " + problem);
}

const Json* ProcessorFields::find(const char* field) const {
  const auto it = json_.find(field);
  return it == json_.end() || it->is_null() ? nullptr : &*it;
}

bool ProcessorFields::has_keys(const Json& json, std::initializer_list<const char*> keys) {
  if (!json.is_object() || json.size() != keys.size()) return false;
  return std::all_of(keys.begin(), keys.end(), [&](const char* key) { return json.contains(key); });
}

ProcessorFields ProcessorFields::nested(const std::string& field, const Json& json) const {
  ProcessorFields inner(where_, json);
  inner.parent_ = parent_ + field + ".";
  return inner;
}

void ProcessorFields::read_bool(const char* field, bool* value) const {
  const Json* json = find(field);
  if (json == nullptr) return;
  if (!json->is_boolean()) fail(field, "must be true or false");
  *value = json->get<bool>();
}

double ProcessorFields::number(const std::string& field, const Json& json) const {
  if (!json.is_number()) fail(field, "must be a number");
  const double value = json.get<double>();
  if (!std::isfinite(value)) fail(field, "must be finite");
  return value;
}

void ProcessorFields::read_number(const char* field, double* value) const {
  if (const Json* json = find(field)) *value = number(field, *json);
}

void ProcessorFields::read_int(const char* field, int min, int max, int* value) const {
  const Json* json = find(field);
  if (json == nullptr) return;
  if (!json->is_number_integer()) fail(field, "must be an integer");
  const auto read = json->get<int64_t>();
  if (read < min || read > max) {
    fail(field, "must lie between " + std::to_string(min) + " and " + std::to_string(max));
  }
  *value = static_cast<int>(read);
}

void ProcessorFields::read_channels(const char* field, std::array<double, 3>* values) const {
  const Json* json = find(field);
  if (json == nullptr) return;
  if (!json->is_array()) {
    values->fill(number(field, *json));
    return;
  }
  if (json->size() != values->size()) fail(field, "must hold 3 numbers");
  for (size_t c = 0; c < values->size(); ++c) (*values)[c] = number(field, (*json)[c]);
}

void ProcessorFields::read_filter(const char* field, Filter* filter) const {
  const Json* json = find(field);
  if (json == nullptr) return;
  if (!json->is_number_integer()) fail(field, "must be an integer (PIL.Image.Resampling)");
  const auto value = json->get<int64_t>();
  if (value < 0 || value > 5) fail(field, "must lie between 0 and 5 (PIL.Image.Resampling)");
  *filter = static_cast<Filter>(value);
}

int ProcessorFields::side(const std::string& field, const Json& json) const {
  if (!json.is_number_integer()) fail(field, "must be an integer");
  const auto value = json.get<int64_t>();
  if (value < 1 || value > kMaxSide) {
    fail(field, "must lie between 1 and " + std::to_string(kMaxSide));
  }
  return static_cast<int>(value);
}

bool ProcessorFields::read_exact(const std::string& field, const Json& json,
                                 ImageSize* size) const {
  if (has_keys(json, {"height", "width"})) {
    *size = {side(field + ".height", json["height"]), side(field + ".width", json["width"])};
    return true;
  }
  if (json.is_array() && json.size() == 2) {
    *size = {side(field + "[0]", json[0]), side(field + "[1]", json[1])};
    return true;
  }
  return false;
}

}  // namespace saccade
