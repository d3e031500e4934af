#include "server/output/grammar/schema_merge.h"

#include <algorithm>
#include <array>

namespace saccade::grammar {
namespace {

constexpr std::array kAnnotations = {"title",
                                     "description",
                                     "default",
                                     "examples",
                                     "example",
                                     "deprecated",
                                     "readOnly",
                                     "writeOnly",
                                     "$comment",
                                     "$schema",
                                     "$id",
                                     "$defs",
                                     "$vocabulary",
                                     "definitions",
                                     "$anchor",
                                     "contentEncoding",
                                     "contentMediaType",
                                     "contentSchema",
                                     "discriminator"};
// Of two, the larger or the smaller counts.
constexpr std::array kLowerEnds = {"minimum", "exclusiveMinimum", "minLength", "minItems",
                                   "minProperties"};
constexpr std::array kUpperEnds = {"maximum", "exclusiveMaximum", "maxLength", "maxItems",
                                   "maxProperties"};

template <typename List>
bool has(const List& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

[[noreturn]] void conflict(const std::string& path, const std::string& keyword) {
  throw GrammarError{path + keyword,
                     "two different " + keyword + " for one value cannot be joined"};
}

Json list_of(const Json& value) { return value.is_array() ? value : Json::array({value}); }

Json merge_types(const Json& a, const Json& b, const std::string& path) {
  Json common = Json::array();
  const Json left = list_of(a), right = list_of(b);
  for (const Json& type : left) {
    if (has(right, type)) common.push_back(type);
    if (type == "integer" && has(right, "number") && !has(common, type)) common.push_back(type);
    if (type == "number" && has(right, "integer") && !has(right, "number")) {
      common.push_back("integer");
    }
  }
  if (common.empty()) throw GrammarError{path + "type", "no type is left for this value"};
  return common.size() == 1 ? common[0] : common;
}

Json merge_lists(const std::string& keyword, const Json& a, const Json& b) {
  Json joined = keyword == "required" ? a : Json::array();
  for (const Json& item : b) {
    if (std::find(a.begin(), a.end(), item) != a.end()) {
      if (keyword == "enum") joined.push_back(item);
    } else if (keyword == "required") {
      joined.push_back(item);
    }
  }
  return joined;
}

Json merge_properties(const Json& a, const Json& b, const std::string& path) {
  Json joined = a;
  for (const auto& [name, schema] : b.items()) {
    const auto known = joined.find(name);
    if (known == joined.end()) {
      joined[name] = schema;
    } else if (*known != schema) {
      if (!known->is_object() || !schema.is_object()) conflict(path, name);
      *known = Json{{"allOf", Json::array({*known, schema})}};
    }
  }
  return joined;
}

// additionalProperties speaks of the members that its own schema does not declare.
void check_additional(const Json& a, const Json& b, const std::string& path) {
  for (const auto& [closed, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    const auto additional = closed->find("additionalProperties");
    if (additional == closed->end() || *additional == true || !other->contains("properties")) {
      continue;
    }
    for (const auto& [name, schema] : (*other)["properties"].items()) {
      if (!closed->contains("properties") || !(*closed)["properties"].contains(name)) {
        conflict(path, "additionalProperties");
      }
    }
  }
}

}  // namespace

bool is_annotation(const std::string& keyword) { return has(kAnnotations, keyword); }

const Json& resolve_reference(const Json& root, const Json& reference, const std::string& path) {
  if (!reference.is_string()) throw GrammarError{path, "must be a string"};
  std::string pointer = reference.get<std::string>();
  if (pointer != "#" && !pointer.starts_with("#/")) {
    throw GrammarError{path, "only references into the schema itself (#/...) are followed"};
  }
  pointer.erase(0, 1);
  for (size_t at = pointer.find('%'); at != std::string::npos; at = pointer.find('%', at + 1)) {
    const std::string digits = pointer.substr(at + 1, 2);
    if (digits.size() == 2 &&
        digits.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos) {
      pointer.replace(at, 3, 1, static_cast<char>(std::stoi(digits, nullptr, 16)));
    }
  }
  try {
    return root.at(Json::json_pointer(pointer));
  } catch (const Json::exception&) {
    throw GrammarError{path, "there is nothing at " + reference.get<std::string>().substr(0, 128)};
  }
}

Json merge_schemas(const Json& a, const Json& b, const std::string& path) {
  for (const char* keyword : {"properties", "required", "enum"}) {
    for (const Json* side : {&a, &b}) {
      const auto member = side->find(keyword);
      const bool object = std::string_view(keyword) == "properties";
      if (member != side->end() && (object ? !member->is_object() : !member->is_array())) {
        throw GrammarError{path + keyword, object ? "must be an object" : "must be an array"};
      }
    }
  }
  check_additional(a, b, path);
  Json joined = a;
  for (const auto& [keyword, value] : b.items()) {
    const auto known = joined.find(keyword);
    if (known == joined.end()) {
      joined[keyword] = value;
    } else if (*known == value || is_annotation(keyword)) {
      continue;
    } else if (keyword == "type") {
      *known = merge_types(*known, value, path);
    } else if (keyword == "properties") {
      *known = merge_properties(*known, value, path + "properties.");
    } else if (keyword == "required" || keyword == "enum") {
      *known = merge_lists(keyword, *known, value);
    } else if (keyword == "items" && known->is_object() && value.is_object()) {
      *known = Json{{"allOf", Json::array({*known, value})}};
    } else if (known->is_number() && value.is_number() && has(kLowerEnds, keyword)) {
      if (*known < value) *known = value;
    } else if (known->is_number() && value.is_number() && has(kUpperEnds, keyword)) {
      if (value < *known) *known = value;
    } else {
      conflict(path, keyword);
    }
  }
  return joined;
}

}  // namespace saccade::grammar
