#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace saccade {

// A value of a JSON file that knows where it stands, so that every complaint names file and field.
// All accessors throw LoadError where the value has another type than asked for.
class JsonNode {
 public:
  using Json = nlohmann::json;
  JsonNode(const Json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  [[noreturn]] void fail(const std::string& why) const;
  // For parts that hold others of their kind: `depth` is how many this one stands in.
  void check_depth(int depth) const;

  const Json& raw() const { return *value_; }
  const std::string& where() const { return where_; }
  bool is_null() const { return value_->is_null(); }
  bool is_string() const { return value_->is_string(); }
  bool is_object() const { return value_->is_object(); }
  bool is_array() const { return value_->is_array(); }

  const std::string& string() const;
  bool boolean() const;
  // An integer within [low, high]; both limits are inclusive.
  int64_t integer(int64_t low, int64_t high) const;
  double number() const;
  char32_t character() const;  // a string of exactly one character
  size_t size() const;         // of an array or object

  JsonNode item(size_t index) const;  // of an array
  std::vector<JsonNode> items() const;
  bool has(const char* key) const;  // an object with `key`, and not null there
  JsonNode at(const char* key) const;
  std::optional<JsonNode> find(const char* key) const;  // none when absent or null

  std::string string_or(const char* key, const std::string& fallback) const;
  bool boolean_or(const char* key, bool fallback) const;
  std::string type() const { return at("type").string(); }

 private:
  const Json* value_;
  std::string where_;  // "tokenizer.json: model.vocab"
};

// Reads and parses a JSON file of at most `max_bytes`. Throws LoadError.
nlohmann::json read_json_file(const std::filesystem::path& path, size_t max_bytes);

}  // namespace saccade
