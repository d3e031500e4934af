#include "server/output/grammar/schema_disjoint.h"

#include <algorithm>
#include <optional>

namespace saccade::grammar {
namespace {

constexpr int kMaxLevel = 2;  // of members inside one another

using Flatten = std::function<Json(const Json&)>;

std::optional<Json> listed_values(const Json& schema) {
  if (schema.contains("const")) return Json::array({schema["const"]});
  if (schema.contains("enum") && schema["enum"].is_array()) return schema["enum"];
  return std::nullopt;
}

bool contains(const Json& list, const Json& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// Whether both have one type, and not the same; every integer is a number.
bool types_differ(const Json& a, const Json& b) {
  if (!a.contains("type") || !b.contains("type")) return false;
  const Json &left = a["type"], &right = b["type"];
  if (!left.is_string() || !right.is_string() || left == right) return false;
  const auto numeric = [](const Json& type) { return type == "integer" || type == "number"; };
  return !numeric(left) || !numeric(right);
}

bool has_members(const Json& schema) {
  return schema.contains("type") && schema["type"] == "object" && schema.contains("properties") &&
         schema["properties"].is_object() && schema.contains("required") &&
         schema["required"].is_array();
}

bool disjoint_at(const Json& a, const Json& b, const Flatten& flat, int level) {
  const auto left = listed_values(a), right = listed_values(b);
  if (left && right) {
    return std::none_of(left->begin(), left->end(),
                        [&](const Json& value) { return contains(*right, value); });
  }
  if (types_differ(a, b)) return true;
  if (level > kMaxLevel || !has_members(a) || !has_members(b)) return false;
  for (const Json& name : a["required"]) {  // a member both must have, and never alike
    if (!name.is_string() || !contains(b["required"], name)) continue;
    const auto& key = name.get_ref<const std::string&>();
    if (!a["properties"].contains(key) || !b["properties"].contains(key)) continue;
    if (disjoint_at(flat(a["properties"][key]), flat(b["properties"][key]), flat, level + 1)) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool disjoint(const Json& a, const Json& b, const Flatten& flat) {
  return disjoint_at(a, b, flat, 0);
}

}  // namespace saccade::grammar
