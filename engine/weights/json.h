#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/core/status.h"

namespace saccade {

struct JsonMember;

// One JSON value (RFC 8259). Integers that fit int64 stay integers; every other number is a double.
// `NaN`, `Infinity` and `-Infinity`, which Python's json module writes, are read as doubles.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<JsonMember>;  // in the file's order, keys unique

  Json() = default;  // null
  template <typename T>
  explicit Json(T value) : value_(std::move(value)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  // Each returns nullptr when the value is of another kind.
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  const int64_t* integer() const { return std::get_if<int64_t>(&value_); }
  const std::string* string() const { return std::get_if<std::string>(&value_); }
  const Array* array() const { return std::get_if<Array>(&value_); }
  const Object* object() const { return std::get_if<Object>(&value_); }
  // An integer or a double, as a double.
  std::optional<double> number() const;

  // Member of an object; nullptr when there is none or this is no object. Linear in the members.
  const Json* find(std::string_view key) const;

  // "\"gelu\"", "12", "an object": for messages; one short printable line whatever the value is.
  std::string describe() const;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

struct JsonMember {
  std::string key;
  Json value;
};

// What a document may cost. A value takes about 40 bytes of memory, whatever it takes in the text.
struct JsonLimits {
  size_t max_bytes = 32u << 20;
  int max_depth = 100;
  size_t max_values = 1u << 20;
};

// Parses one document. Strict: UTF-8 checked, no duplicate keys, no comments, no trailing text.
// Throws LoadError "NAME: line L column C: what is wrong".
Json parse_json(std::string_view text, std::string_view name, const JsonLimits& limits = {});

// `text` in double quotes, cut to a readable length, bytes that are not printable ASCII or UTF-8
// letters written as escapes: safe to put into a one-line message.
std::string printable(std::string_view text);

// An object inside a file together with its path, so that each message says where it applies:
// "config.json: text_config.hidden_size: expected an integer of 1 to 1073741824, got \"x\"".
// Absent members and nulls are the same thing. Reading a member without a default throws when it is
// absent. A view refers to the Json it was made from, which must outlive it.
class JsonView {
 public:
  static constexpr int kMaxInt = 1 << 30;

  // `value` must be an object; `path` is "config.json" or "config.json: text_config".
  JsonView(const Json& value, std::string path);

  bool has(std::string_view key) const { return find(key) != nullptr; }
  // Present and null: what a file writes to switch a class default off.
  bool is_null(std::string_view key) const;
  // nullptr when absent or null.
  const Json* find(std::string_view key) const;

  int positive_int(std::string_view key) const { return integer(key, 1, kMaxInt); }
  int positive_int(std::string_view key, int fallback) const {
    return has(key) ? positive_int(key) : fallback;
  }
  int integer(std::string_view key, int min = -kMaxInt, int max = kMaxInt) const;
  int integer_or(std::string_view key, int fallback, int min = -kMaxInt, int max = kMaxInt) const {
    return has(key) ? integer(key, min, max) : fallback;
  }
  // Finite, and within [min, max].
  double number(std::string_view key) const;
  double number(std::string_view key, double fallback) const {
    return has(key) ? number(key) : fallback;
  }
  double number_in(std::string_view key, double fallback, double min, double max) const;
  std::string string(std::string_view key) const;
  std::string string(std::string_view key, std::string fallback) const {
    return has(key) ? string(key) : std::move(fallback);
  }
  bool boolean(std::string_view key) const;
  bool boolean(std::string_view key, bool fallback) const {
    return has(key) ? boolean(key) : fallback;
  }
  std::optional<JsonView> object(std::string_view key) const;
  JsonView required_object(std::string_view key) const;

  // Lists are empty when absent. Elements obey the same ranges as single values.
  std::vector<int> int_list(std::string_view key) const;
  std::vector<int> int_or_int_list(std::string_view key) const;  // 2 or [2, 7]
  std::vector<double> number_list(std::string_view key) const;
  std::vector<std::string> string_list(std::string_view key) const;
  std::vector<std::vector<int>> int_lists(std::string_view key) const;  // [[336, 672], [672, 336]]

  // Throws LoadError about a member: for rules that the readers above do not know.
  [[noreturn]] void fail(std::string_view key, std::string_view message) const;

  const Json::Object& members() const { return *value_->object(); }
  const std::string& path() const { return path_; }
  std::string path_of(std::string_view key) const;  // "config.json: text_config.hidden_act"

 private:
  const Json& require(std::string_view key) const;
  const Json::Array& require_array(std::string_view key) const;

  const Json* value_;
  std::string path_;  // ends in the file's name at the root
  bool root_;
};

// A JSON file whose top level is an object. Keeps what its views refer to; not copied or moved.
class JsonFile {
 public:
  // Throws LoadError naming the file when it is missing, no regular file, too large or malformed.
  // `name` is what messages call it; the file's own name when empty.
  explicit JsonFile(const std::filesystem::path& path, std::string name = {},
                    const JsonLimits& limits = {});
  JsonFile(const JsonFile&) = delete;
  JsonFile& operator=(const JsonFile&) = delete;

  static JsonFile load(const std::filesystem::path& path, std::string name = {}) {
    return JsonFile(path, std::move(name));
  }

  JsonView root() const { return JsonView(json_, name_); }
  const Json& json() const { return json_; }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  Json json_;
};

}  // namespace saccade
