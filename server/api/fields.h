#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/api/json.h"

namespace saccade::api {

// Reads the members of one JSON object into native types. null counts as absent, unknown members
// are ignored. The first mistake is kept, with the path of the field; later reads do nothing then.
//   Fields fields(body);
//   fields.read("temperature", sampling.temperature, {0, 2});
//   if (!fields.ok()) return fields.status();
class Fields {
 public:
  struct Range {
    double min;
    double max;
    bool above_min = false;  // min itself is out of range
  };

  // `path` is that of the object ("messages[0]"), empty for the body.
  explicit Fields(const Json& object, std::string path = {});

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  std::string path(std::string_view name) const;

  // The member, or null when it is absent or null.
  const Json* find(const char* name) const;

  void read(const char* name, bool& value);
  void read(const char* name, std::string& value);
  void read(const char* name, float& value, Range range);
  void read(const char* name, int& value, Range range);
  void read(const char* name, std::optional<int>& value, Range range);
  void read(const char* name, std::optional<int64_t>& value);

  // A string, or an array of at most `max_count` of them; each non-empty and of at most
  // `max_bytes`.
  void read_strings(const char* name, std::vector<std::string>& values, size_t max_count,
                    size_t max_bytes);
  // Token ids in [0, vocab_size).
  void read_ids(const char* name, std::vector<int32_t>& values, int vocab_size, size_t max_count);
  // {"id": bias}: ids in [0, vocab_size), biases in [-100, 100].
  void read_biases(const char* name, std::vector<std::pair<int32_t, float>>& values, int vocab_size,
                   size_t max_count);

  void fail(const std::string& path, std::string message);

 private:
  // The member when it is to be read: present, not null and nothing failed before.
  const Json* wanted(const char* name) const;
  std::optional<double> number(const Json& value, const std::string& path, const Range& range);
  std::optional<int64_t> integer(const Json& value, const std::string& path, const Range& range);

  const Json& object_;
  const std::string path_;
  Status status_;
};

// "a string", "an array" ... for messages.
std::string_view kind_of(const Json& value);

}  // namespace saccade::api
