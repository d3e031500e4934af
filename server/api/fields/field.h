#pragma once

#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "server/api/fields/json.h"

// What a member of a request body may hold. Each route's fields stand in one table of these
// (request_tables.h): the parsers check and read by it, and the OpenAPI document is made from it.
namespace saccade::api {

struct ModelLimits;

// A number of a table: written there, or known once a model is served.
class Figure {
 public:
  using Source = double (*)(const ModelLimits&);
  constexpr Figure() = default;
  template <typename Number>
  requires std::is_arithmetic_v<Number>
  constexpr Figure(Number value) : value_(static_cast<double>(value)) {}  // NOLINT: by design
  constexpr Figure(Source source) : source_(source) {}  // NOLINT: implicit by design
  double get(const ModelLimits& limits) const { return source_ ? source_(limits) : value_; }

 private:
  double value_ = 0;
  Source source_ = nullptr;
};

enum class FieldType {
  kBoolean,
  kInteger,
  kNumber,
  kString,     // `choices`, if there are any, are all it may be
  kStringMap,  // an object of strings
  kStrings,    // one string or an array of them
  kTokenIds,   // an array of ids below the vocabulary's size
  kBiases,     // {"id": number}
  kObject,     // of `members`; of anything when there are none
  kObjects,    // an array of such objects
  kCustom,     // checked by the route's own reader
  kRefused,    // not done here: takes null, and of `choices`, JSON texts, what asks for nothing
};

inline constexpr double kNoMaximum = 9007199254740992.0;  // 2^53: whole numbers are exact below

struct Field {
  const char* name;
  FieldType type;
  Figure min = 0, max = kNoMaximum;  // of a number, of each bias
  bool above_min = false;            // min itself is out of range
  Figure max_count = kNoMaximum;     // entries of an array or object
  Figure max_bytes = kNoMaximum;     // of a string, or of each
  bool may_be_empty = true;          // kStrings: each string
  const char* choices = nullptr;     // "auto|default|flex"; of kRefused "0|-1"
  std::span<const Field> members{};
  bool required = false;
  bool has_default = false;
  Figure default_value{};                        // of a number; 0 or 1 of a boolean
  const char* note = "";                         // what it does (kRefused: what does it instead)
  Json (*schema)(const ModelLimits&) = nullptr;  // JSON Schema of a kCustom field

  constexpr Field with_default(Figure value) const {
    Field field = *this;
    field.has_default = true;
    field.default_value = value;
    return field;
  }
};

constexpr Field refused_field(const char* name, const char* choices, const char* note = "") {
  Field field{name, FieldType::kRefused};
  field.choices = choices;
  field.note = note;
  return field;
}

using FieldTable = std::span<const Field>;

// What is wrong with `value`, which is not null, as the field `field` at `path`; the status's param
// is the path of the part at fault.
Status check_field(const Field& field, const Json& value, const std::string& path,
                   const ModelLimits& limits);

// The single texts of Field::choices.
std::vector<std::string> choices_of(const Field& field);

// The path of an array's element: "stop" and 1 -> "stop[1]".
std::string element_path(std::string_view array, size_t index);

// 1 to 64 letters, digits, _ or -: what functions and schemas may be named.
bool is_valid_name(std::string_view name);

// "a string", "an array" ... for messages.
std::string_view kind_of(const Json& value);

}  // namespace saccade::api
