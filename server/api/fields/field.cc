#include "server/api/fields/field.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>

#include "server/api/request/generation_options.h"

namespace saccade::api {
namespace {

std::string format_number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) {
    return std::to_string(static_cast<int64_t>(value));
  }
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string count_text(double value) { return std::to_string(static_cast<int64_t>(value)); }

Status wrong_kind(const std::string& path, const char* wanted, const Json& value) {
  return invalid_argument(path + " must be " + wanted + ", not " + std::string(kind_of(value)),
                          path);
}

struct Bounds {
  double min;
  double max;
  bool above_min = false;
};

std::string range_text(const Bounds& bounds, double number) {
  if (bounds.max >= std::numeric_limits<int>::max()) {
    if (number > bounds.max) return "at most " + format_number(bounds.max);
    return (bounds.above_min ? "greater than " : "at least ") + format_number(bounds.min);
  }
  return std::string("between ") + format_number(bounds.min) +
         (bounds.above_min ? " (excluded) and " : " and ") + format_number(bounds.max);
}

Status check_number(const Json& value, const std::string& path, const Bounds& bounds) {
  if (!value.is_number()) return wrong_kind(path, "a number", value);
  const double number = value.get<double>();
  if (!std::isfinite(number) || number > bounds.max ||
      (bounds.above_min ? number <= bounds.min : number < bounds.min)) {
    return invalid_argument(path + " must be " + range_text(bounds, number), path);
  }
  return {};
}

Status check_integer(const Json& value, const std::string& path, const Bounds& bounds) {
  if (const Status status = check_number(value, path, bounds); !status.ok()) return status;
  const double number = value.get<double>();
  if (number != std::floor(number)) return invalid_argument(path + " must be an integer", path);
  return {};
}

Status check_string(const Field& field, const Json& value, const std::string& path,
                    const ModelLimits& limits) {
  if (!value.is_string()) return wrong_kind(path, "a string", value);
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty() && !field.may_be_empty) {
    return invalid_argument(path + " must not be empty", path);
  }
  const double max_bytes = field.max_bytes.get(limits);
  if (static_cast<double>(text.size()) > max_bytes) {
    return invalid_argument(path + " is longer than " + count_text(max_bytes) + " bytes", path);
  }
  if (field.choices == nullptr) return {};
  std::string listed;
  for (const std::string& choice : choices_of(field)) {
    if (text == choice) return {};
    listed += (listed.empty() ? "" : ", ") + choice;
  }
  return invalid_argument(path + " must be one of " + listed, path);
}

// What would change an answer in ways that this server does not know is refused, not ignored.
Status check_refused(const Field& field, const Json& value, const std::string& path) {
  std::string listed;
  for (const std::string& choice : choices_of(field)) {
    if (Json::parse(choice) == value) return {};
    listed += (listed.empty() ? "; it may be " : " or ") + choice;
  }
  const std::string instead = *field.note == '\0' ? "" : std::string(": ") + field.note;
  return invalid_argument(path + " is not supported" + instead + listed, path);
}

Status check_count(const Field& field, const Json& value, const std::string& path,
                   const ModelLimits& limits, const char* what) {
  const double max_count = field.max_count.get(limits);
  if (static_cast<double>(value.size()) <= max_count) return {};
  return invalid_argument(path + " holds " + std::to_string(value.size()) + " " + what +
                              "; at most " + count_text(max_count) + " are taken",
                          path);
}

Status check_strings(const Field& field, const Json& value, const std::string& path,
                     const ModelLimits& limits) {
  if (!value.is_array()) {
    if (!value.is_string()) return wrong_kind(path, "a string or an array of strings", value);
    return check_string(field, value, path, limits);
  }
  Status status = check_count(field, value, path, limits, "strings");
  for (size_t i = 0; i < value.size() && status.ok(); ++i) {
    status = check_string(field, value[i], element_path(path, i), limits);
  }
  return status;
}

Status check_string_map(const Field& field, const Json& value, const std::string& path,
                        const ModelLimits& limits) {
  if (!value.is_object()) return wrong_kind(path, "an object of strings", value);
  constexpr size_t kMaxKeyBytes = 64;  // OpenAI's
  Status status = check_count(field, value, path, limits, "entries");
  for (auto entry = value.begin(); entry != value.end() && status.ok(); ++entry) {
    if (entry.key().size() > kMaxKeyBytes) {
      return invalid_argument(path + " holds a key of more than 64 bytes", path);
    }
    status = check_string(field, *entry, path + "." + entry.key(), limits);
  }
  return status;
}

Status check_ids(const Field& field, const Json& value, const std::string& path,
                 const ModelLimits& limits) {
  if (!value.is_array()) return wrong_kind(path, "an array", value);
  Status status = check_count(field, value, path, limits, "ids");
  const Bounds bounds{0, static_cast<double>(limits.vocab_size - 1)};
  for (size_t i = 0; i < value.size() && status.ok(); ++i) {
    status = check_integer(value[i], element_path(path, i), bounds);
  }
  return status;
}

Status check_biases(const Field& field, const Json& value, const std::string& path,
                    const ModelLimits& limits) {
  if (!value.is_object()) return wrong_kind(path, "an object", value);
  Status status = check_count(field, value, path, limits, "keys");
  const Bounds bounds{field.min.get(limits), field.max.get(limits)};
  for (auto entry = value.begin(); entry != value.end() && status.ok(); ++entry) {
    const std::string& key = entry.key();
    const std::string where = path + "." + key;
    int32_t id = -1;
    const char* end = key.data() + key.size();
    const auto [stop, error] = std::from_chars(key.data(), end, id);
    if (error != std::errc() || stop != end || id < 0 || id >= limits.vocab_size) {
      return invalid_argument(
          "the keys of " + path + " are token ids below " + std::to_string(limits.vocab_size),
          where);
    }
    status = check_number(*entry, where, bounds);
  }
  return status;
}

Status check_object(const Field& field, const Json& value, const std::string& path,
                    const ModelLimits& limits) {
  if (!value.is_object()) return wrong_kind(path, "an object", value);
  for (const Field& member : field.members) {
    const auto found = value.find(member.name);
    const bool absent = found == value.end() || found->is_null();
    const std::string where = path + "." + member.name;
    if (absent && member.required) return invalid_argument(where + " is missing", where);
    if (absent) continue;
    if (const Status status = check_field(member, *found, where, limits); !status.ok()) {
      return status;
    }
  }
  return {};
}

Status check_objects(const Field& field, const Json& value, const std::string& path,
                     const ModelLimits& limits) {
  if (!value.is_array()) return wrong_kind(path, "an array", value);
  Status status;
  for (size_t i = 0; i < value.size() && status.ok(); ++i) {
    status = check_object(field, value[i], element_path(path, i), limits);
  }
  return status;
}

}  // namespace

std::vector<std::string> choices_of(const Field& field) {
  std::vector<std::string> choices;
  std::istringstream list(field.choices == nullptr ? "" : field.choices);
  for (std::string choice; std::getline(list, choice, '|');) choices.push_back(std::move(choice));
  return choices;
}

std::string element_path(std::string_view array, size_t index) {
  return std::string(array) + "[" + std::to_string(index) + "]";
}

bool is_valid_name(std::string_view name) {
  constexpr size_t kMaxLength = 64;
  return !name.empty() && name.size() <= kMaxLength &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
}

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

Status check_field(const Field& field, const Json& value, const std::string& path,
                   const ModelLimits& limits) {
  const Bounds bounds{field.min.get(limits), field.max.get(limits), field.above_min};
  switch (field.type) {
    case FieldType::kBoolean:
      return value.is_boolean() ? Status() : wrong_kind(path, "a boolean", value);
    case FieldType::kInteger:
      return check_integer(value, path, bounds);
    case FieldType::kNumber:
      return check_number(value, path, bounds);
    case FieldType::kString:
      return check_string(field, value, path, limits);
    case FieldType::kStringMap:
      return check_string_map(field, value, path, limits);
    case FieldType::kStrings:
      return check_strings(field, value, path, limits);
    case FieldType::kTokenIds:
      return check_ids(field, value, path, limits);
    case FieldType::kBiases:
      return check_biases(field, value, path, limits);
    case FieldType::kObject:
      return check_object(field, value, path, limits);
    case FieldType::kObjects:
      return check_objects(field, value, path, limits);
    case FieldType::kRefused:
      return check_refused(field, value, path);
    case FieldType::kCustom:
      break;
  }
  return {};
}

}  // namespace saccade::api
