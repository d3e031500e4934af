#pragma once

#include <limits>

#include "server/api/fields/field.h"
#include "server/api/request/generation_options.h"

// What the tables of fields are written with.
namespace saccade::api::makers {

inline constexpr double kMaxInt = std::numeric_limits<int>::max();
inline constexpr double kMaxLabelBytes = 512;  // of what is taken and not used

constexpr Field flag(const char* name, const char* note = "") {
  Field field{name, FieldType::kBoolean};
  field.note = note;
  return field;
}
constexpr Field integer(const char* name, Figure min, Figure max, const char* note = "") {
  Field field{name, FieldType::kInteger};
  field.min = min;
  field.max = max;
  field.note = note;
  return field;
}
constexpr Field number(const char* name, Figure min, Figure max, const char* note = "") {
  Field field{name, FieldType::kNumber};
  field.min = min;
  field.max = max;
  field.note = note;
  return field;
}
constexpr Field above(Field field) {
  field.above_min = true;
  return field;
}
constexpr Field string(const char* name, Figure max_bytes, const char* note = "") {
  Field field{name, FieldType::kString};
  field.max_bytes = max_bytes;
  field.note = note;
  return field;
}
constexpr Field one_of(const char* name, const char* choices, const char* note = "") {
  Field field{name, FieldType::kString};
  field.choices = choices;
  field.note = note;
  return field;
}
constexpr Field strings(const char* name, Figure max_count, Figure max_bytes,
                        const char* note = "") {
  Field field{name, FieldType::kStrings};
  field.max_count = max_count;
  field.max_bytes = max_bytes;
  field.may_be_empty = false;
  field.note = note;
  return field;
}
constexpr Field ids(const char* name, Figure max_count, const char* note = "") {
  Field field{name, FieldType::kTokenIds};
  field.max_count = max_count;
  field.note = note;
  return field;
}
constexpr Field object(const char* name, FieldTable members, const char* note = "") {
  Field field{name, FieldType::kObject};
  field.members = members;
  field.note = note;
  return field;
}
constexpr Field objects(const char* name, FieldTable members, const char* note = "") {
  Field field{name, FieldType::kObjects};
  field.members = members;
  field.note = note;
  return field;
}
constexpr Field custom(const char* name, const char* note = "") {
  Field field{name, FieldType::kCustom};
  field.note = note;
  return field;
}
constexpr Field not_empty(Field field) {
  field.may_be_empty = false;
  return field;
}
constexpr Field required(Field field) {
  field.required = true;
  return field;
}

// A mark that a prefix is to be cached.
inline constexpr Field kCacheControl[] = {
    required(one_of("type", "ephemeral")),
    one_of("ttl", "5m|1h"),
};

inline double max_stops(const ModelLimits& m) {
  return static_cast<double>(m.fields.max_stop_strings);
}
inline double max_stop_bytes(const ModelLimits& m) {
  return static_cast<double>(m.fields.max_stop_bytes);
}

}  // namespace saccade::api::makers
