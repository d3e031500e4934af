#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/api/fields/field.h"

namespace saccade::api {

// Reads the members of one JSON object into native types. null counts as absent, unknown members
// are ignored. The first mistake is kept, with the path of the field; later reads do nothing then.
//   Fields fields(body, {kGenerationFields, kChatFields}, limits);
//   fields.read("temperature", sampling.temperature);
//   if (!fields.ok()) return fields.status();
// With tables every field of theirs is checked at once, read or not, and an absent number or
// boolean takes the table's default.
class Fields {
 public:
  struct Range {
    double min;
    double max;
  };

  // `path` is that of the object ("messages[0]"), empty for the body.
  explicit Fields(const Json& object, std::string path = {});
  Fields(const Json& object, std::initializer_list<FieldTable> tables, const ModelLimits& limits,
         std::string path = {});

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  const Json& object() const { return object_; }
  const ModelLimits& limits() const { return *limits_; }  // only with tables
  const std::string& path() const { return path_; }
  std::string path(std::string_view name) const;

  // The member, or null when it is absent or null.
  const Json* find(const char* name) const;

  void read(const char* name, bool& value);
  void read(const char* name, std::optional<bool>& value);
  void read(const char* name, std::string& value);
  void read(const char* name, float& value);
  void read(const char* name, int& value);
  void read(const char* name, std::optional<int>& value);
  void read(const char* name, std::optional<int64_t>& value);
  // For objects without a table of their own.
  void read(const char* name, int& value, Range range);

  // A string, or an array of them.
  void read_strings(const char* name, std::vector<std::string>& values);
  void read_ids(const char* name, std::vector<int32_t>& values);
  // {"id": bias}
  void read_biases(const char* name, std::vector<std::pair<int32_t, float>>& values);

  void fail(const std::string& path, std::string message);
  void fail(const Status& status);
  // Takes over the mistake of an object inside, if there is one; whether there is none.
  bool adopt(const Fields& inner);

 private:
  // The member when it is to be read: present, not null and nothing failed before.
  const Json* wanted(const char* name) const;
  const Field* field(const char* name) const;
  std::optional<double> default_of(const char* name) const;

  const Json& object_;
  const std::vector<FieldTable> tables_;
  const ModelLimits* limits_ = nullptr;
  const std::string path_;
  Status status_;
};

}  // namespace saccade::api
