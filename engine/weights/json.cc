#include "engine/weights/json.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/weights/mapped_file.h"

namespace saccade {
namespace {

constexpr size_t kQuotedBytes = 60;

}  // namespace

std::optional<double> Json::number() const {
  if (const int64_t* whole = integer()) return static_cast<double>(*whole);
  if (const double* real = std::get_if<double>(&value_)) return *real;
  return std::nullopt;
}

const Json* Json::find(std::string_view key) const {
  if (const Object* members = object()) {
    for (const JsonMember& member : *members) {
      if (member.key == key) return &member.value;
    }
  }
  return nullptr;
}

std::string Json::describe() const {
  if (is_null()) return "null";
  if (const bool* value = boolean()) return *value ? "true" : "false";
  if (const int64_t* value = integer()) return std::to_string(*value);
  if (const std::string* value = string()) return printable(*value);
  if (array() != nullptr) return "a list";
  if (object() != nullptr) return "an object";
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", *number());
  return text;
}

std::string printable(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, kQuotedBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
      out += c;
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
      out += escaped;
    }
  }
  out += text.size() > kQuotedBytes ? "...\"" : "\"";
  return out;
}

JsonView::JsonView(const Json& value, std::string path)
    : value_(&value), path_(std::move(path)), root_(path_.find(": ") == std::string::npos) {
  if (value.object() == nullptr) {
    throw LoadError(path_ + ": expected an object, got " + value.describe());
  }
}

bool JsonView::is_null(std::string_view key) const {
  const Json* member = value_->find(key);
  return member != nullptr && member->is_null();
}

const Json* JsonView::find(std::string_view key) const {
  const Json* member = value_->find(key);
  return member == nullptr || member->is_null() ? nullptr : member;
}

std::string JsonView::path_of(std::string_view key) const {
  return path_ + (root_ ? ": " : ".") + std::string(key);
}

void JsonView::fail(std::string_view key, std::string_view message) const {
  throw LoadError(path_of(key) + ": " + std::string(message));
}

const Json& JsonView::require(std::string_view key) const {
  const Json* member = find(key);
  if (member == nullptr) fail(key, "missing");
  return *member;
}

const Json::Array& JsonView::require_array(std::string_view key) const {
  const Json& member = require(key);
  if (member.array() == nullptr) fail(key, "expected a list, got " + member.describe());
  return *member.array();
}

int JsonView::integer(std::string_view key, int min, int max) const {
  const Json& member = require(key);
  const int64_t* value = member.integer();
  if (value == nullptr || *value < min || *value > max) {
    fail(key, "expected an integer of " + std::to_string(min) + " to " + std::to_string(max) +
                  ", got " + member.describe());
  }
  return static_cast<int>(*value);
}

double JsonView::number(std::string_view key) const {
  const Json& member = require(key);
  const std::optional<double> value = member.number();
  if (!value || !std::isfinite(*value)) {
    fail(key, "expected a finite number, got " + member.describe());
  }
  return *value;
}

double JsonView::number_in(std::string_view key, double fallback, double min, double max) const {
  const double value = number(key, fallback);
  if (has(key) && (value < min || value > max)) {
    fail(key, "expected a number of " + Json(min).describe() + " to " + Json(max).describe() +
                  ", got " + find(key)->describe());
  }
  return value;
}

std::string JsonView::string(std::string_view key) const {
  const Json& member = require(key);
  if (member.string() == nullptr) fail(key, "expected a string, got " + member.describe());
  return *member.string();
}

bool JsonView::boolean(std::string_view key) const {
  const Json& member = require(key);
  if (member.boolean() == nullptr) fail(key, "expected true or false, got " + member.describe());
  return *member.boolean();
}

std::optional<JsonView> JsonView::object(std::string_view key) const {
  const Json* member = find(key);
  if (member == nullptr) return std::nullopt;
  return JsonView(*member, path_of(key));
}

JsonView JsonView::required_object(std::string_view key) const {
  return JsonView(require(key), path_of(key));
}

namespace {

// Reads each element with the member readers, by way of a view in which it is a member.
std::vector<int> ints_of(const JsonView& view, std::string_view key, const Json::Array& list) {
  std::vector<int> out;
  out.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const int64_t* value = list[i].integer();
    if (value == nullptr || *value < -JsonView::kMaxInt || *value > JsonView::kMaxInt) {
      view.fail(std::string(key) + "[" + std::to_string(i) + "]",
                "expected an integer of " + std::to_string(-JsonView::kMaxInt) + " to " +
                    std::to_string(JsonView::kMaxInt) + ", got " + list[i].describe());
    }
    out.push_back(static_cast<int>(*value));
  }
  return out;
}

}  // namespace

std::vector<int> JsonView::int_list(std::string_view key) const {
  if (!has(key)) return {};
  return ints_of(*this, key, require_array(key));
}

std::vector<int> JsonView::int_or_int_list(std::string_view key) const {
  const Json* member = find(key);
  if (member != nullptr && member->array() == nullptr) return {integer(key)};
  return int_list(key);
}

std::vector<std::vector<int>> JsonView::int_lists(std::string_view key) const {
  if (!has(key)) return {};
  std::vector<std::vector<int>> out;
  for (const Json& row : require_array(key)) {
    const std::string row_key = std::string(key) + "[" + std::to_string(out.size()) + "]";
    if (row.array() == nullptr) fail(row_key, "expected a list, got " + row.describe());
    out.push_back(ints_of(*this, row_key, *row.array()));
  }
  return out;
}

std::vector<double> JsonView::number_list(std::string_view key) const {
  if (!has(key)) return {};
  std::vector<double> out;
  for (const Json& element : require_array(key)) {
    const std::optional<double> value = element.number();
    if (!value || !std::isfinite(*value)) {
      fail(std::string(key) + "[" + std::to_string(out.size()) + "]",
           "expected a finite number, got " + element.describe());
    }
    out.push_back(*value);
  }
  return out;
}

std::vector<std::string> JsonView::string_list(std::string_view key) const {
  if (!has(key)) return {};
  std::vector<std::string> out;
  for (const Json& element : require_array(key)) {
    if (element.string() == nullptr) {
      fail(std::string(key) + "[" + std::to_string(out.size()) + "]",
           "expected a string, got " + element.describe());
    }
    out.push_back(*element.string());
  }
  return out;
}

JsonFile::JsonFile(const std::filesystem::path& path, std::string name, const JsonLimits& limits)
    : name_(name.empty() ? path.filename().string() : std::move(name)),
      json_(parse_json(read_file(path, name_, limits.max_bytes), name_, limits)) {
  (void)root();  // the top level must be an object
}

}  // namespace saccade
