#include "server/output/grammar/schema.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>

#include "engine/core/types.h"
#include "server/output/grammar/json_text.h"
#include "server/output/grammar/schema_disjoint.h"
#include "server/output/grammar/schema_merge.h"
#include "server/output/grammar/schema_scalars.h"
#include "server/python_literal.h"

namespace saccade::grammar {
namespace {

constexpr int kMaxSchemaDepth = 200;  // of schemas inside one another, references followed
constexpr size_t kMaxNameBytes = 256;
constexpr std::chrono::seconds kTimeLimit{2};  // compositions can multiply

struct TypeKeywords {
  const char* type;
  std::vector<std::string> keywords;
};
const std::vector<TypeKeywords>& type_keywords() {
  static const std::vector<TypeKeywords> table = {
      {"object",
       {"properties", "required", "additionalProperties", "minProperties", "maxProperties",
        "unevaluatedProperties"}},
      {"array",
       {"items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems",
        "unevaluatedItems"}},
      {"string", {"minLength", "maxLength", "pattern", "format"}},
      {"number", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}},
  };
  return table;
}

constexpr std::array kRefused = {"not",
                                 "if",
                                 "then",
                                 "else",
                                 "dependentRequired",
                                 "dependencies",
                                 "contains",
                                 "minContains",
                                 "maxContains",
                                 "dependentSchemas",
                                 "patternProperties",
                                 "propertyNames",
                                 "$dynamicRef",
                                 "$recursiveRef"};

bool restricts(const Json& schema) {
  for (const auto& [keyword, value] : schema.items()) {
    if (keyword == "type" || keyword == "enum" || keyword == "const" || keyword == "$ref") {
      return true;
    }
    if (keyword == "anyOf" || keyword == "oneOf" || keyword == "allOf") return true;
    for (const TypeKeywords& row : type_keywords()) {
      if (std::find(row.keywords.begin(), row.keywords.end(), keyword) != row.keywords.end()) {
        return true;
      }
    }
  }
  return false;
}

Json without(const Json& schema, const char* keyword) {
  Json copy = schema;
  copy.erase(keyword);
  return copy;
}

bool is_type(const Json& value, const std::string& type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "number") return value.is_number();
  return value.is_number_integer() ||
         (value.is_number() && std::floor(value.get<double>()) == value.get<double>());
}

class SchemaReader {
 public:
  SchemaReader(Grammar& grammar, const Json& root, Constants constants)
      : grammar_(grammar), root_(root), json_(grammar, constants) {}

  // `path` ends with a dot, or is empty.
  ExprPtr value(const Json& schema, const std::string& path) {
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) return choice({});
      return json_.any_value();
    }
    const std::string here = path.empty() ? path : path.substr(0, path.size() - 1);
    if (!schema.is_object()) reject(here, "a schema must be an object or a boolean");
    if (++depth_ > kMaxSchemaDepth) reject(here, "schemas are nested too deeply");
    check_time(here);
    ExprPtr result = object_schema(schema, path);
    --depth_;
    return result;
  }

  // The members of the root, an object, as keyword arguments; null where they cannot be written so.
  ExprPtr keywords() {
    const Json schema = flat(root_, "");
    refuse(schema, "");
    for (const char* keyword : {"anyOf", "oneOf", "enum", "const"}) {
      if (schema.contains(keyword)) return nullptr;
    }
    std::vector<Member> members;
    const ExprPtr list = member_list(schema, "", Keys::kKeywords, members);
    const auto named = [](const Member& one) { return is_python_identifier(one.name); };
    return std::all_of(members.begin(), members.end(), named) ? list : nullptr;
  }

 private:
  void check_time(const std::string& path) const {
    if (Clock::now() - start_ > kTimeLimit)
      reject(path, "the schema takes more than 2 s to compile");
  }

  static void refuse(const Json& schema, const std::string& path) {
    for (const char* keyword : kRefused) {
      if (schema.contains(keyword)) reject(path + keyword, "this keyword is not supported");
    }
  }

  ExprPtr object_schema(const Json& schema, const std::string& path) {
    refuse(schema, path);
    if (schema.contains("$ref")) return reference(schema, path);
    if (schema.contains("allOf")) return all_of(schema, path);
    if (schema.contains("anyOf")) return any_of(schema, "anyOf", path);
    if (schema.contains("oneOf")) return any_of(schema, "oneOf", path);
    if (schema.contains("const") || schema.contains("enum")) return listed(schema, path);
    std::vector<ExprPtr> options;
    const std::vector<std::string> types = types_of(schema, path);
    if (types.empty()) return json_.any_value();
    for (const std::string& type : types) options.push_back(typed(type, schema, path));
    return choice(std::move(options));
  }

  // One rule for each place that is referred to, so that schemas may contain themselves.
  ExprPtr reference(const Json& schema, const std::string& path) {
    const Json& target = resolve_reference(root_, schema["$ref"], path + "$ref");
    const Json rest = without(schema, "$ref");
    if (restricts(rest)) return value(merged(target, rest, path), path);
    const auto [known, is_new] = references_.try_emplace(&target, -1);
    if (!is_new) return rule(known->second);
    const int id = known->second = grammar_.add_rule();
    std::string name = schema["$ref"].get<std::string>();
    std::replace(name.begin(), name.end(), '/', '.');
    grammar_.define(id, value(target, name == "#" ? "" : name.substr(2) + "."));
    return rule(id);
  }

  // Without $ref and allOf at its top.
  Json flat(const Json& schema, const std::string& path) {
    if (schema.is_boolean() && schema.get<bool>()) return Json::object();
    if (!schema.is_object()) reject(path + "allOf", "its members must be objects");
    if (++depth_ > kMaxSchemaDepth) reject(path + "$ref", "schemas are nested too deeply");
    check_time(path + "allOf");
    Json result = schema;
    if (schema.contains("$ref")) {
      const Json& target = resolve_reference(root_, schema["$ref"], path + "$ref");
      result = merged(target, without(schema, "$ref"), path);
    } else if (schema.contains("allOf")) {
      result = without(schema, "allOf");
      const Json& parts = schema["allOf"];
      if (!parts.is_array() || parts.empty()) reject(path + "allOf", "must be an array of schemas");
      for (const Json& part : parts) result = merged(result, part, path);
    }
    --depth_;
    return result;
  }

  Json merged(const Json& a, const Json& b, const std::string& path) {
    refuse(a, path);
    refuse(b, path);
    return merge_schemas(flat(a, path), flat(b, path), path);
  }

  ExprPtr all_of(const Json& schema, const std::string& path) {
    const Json& parts = schema["allOf"];
    const bool alone =
        parts.is_array() && parts.size() == 1 && !restricts(without(schema, "allOf"));
    if (alone) return value(parts[0], path + "allOf[0].");
    return value(flat(schema, path), path);
  }

  ExprPtr any_of(const Json& schema, const char* keyword, const std::string& path) {
    const Json& branches = schema[keyword];
    const Json rest = without(schema, keyword);
    if (!branches.is_array() || branches.empty()) {
      reject(path + keyword, "must be an array of schemas");
    }
    if (std::string_view(keyword) == "oneOf") require_disjoint(branches, path);
    std::vector<ExprPtr> options;
    for (size_t i = 0; i < branches.size(); ++i) {
      const std::string where = path + keyword + "[" + std::to_string(i) + "].";
      options.push_back(restricts(rest) ? value(merged(rest, branches[i], where), where)
                                        : value(branches[i], where));
    }
    return choice(std::move(options));
  }

  // oneOf wants exactly one to hold, which a grammar says only where no value satisfies two.
  void require_disjoint(const Json& branches, const std::string& path) {
    const auto flatten = [this](const Json& part) { return flat(part, ""); };
    std::vector<Json> plain;
    for (const Json& branch : branches) plain.push_back(flat(branch, path));
    for (size_t i = 0; i < plain.size(); ++i) {
      check_time(path + "oneOf");
      for (size_t j = 0; j < i; ++j) {
        if (disjoint(plain[i], plain[j], flatten)) continue;
        reject(path + "oneOf", "its members " + std::to_string(j) + " and " + std::to_string(i) +
                                   " may hold at once, which cannot be excluded; use anyOf");
      }
    }
  }

  ExprPtr listed(const Json& schema, const std::string& path) {
    const bool single = schema.contains("const");
    if (!single && (!schema["enum"].is_array() || schema["enum"].empty())) {
      reject(path + "enum", "must be an array with at least one value");
    }
    Json others = without(without(schema, "const"), "enum");
    const std::vector<std::string> types =
        schema.contains("type") ? types_of(schema, path) : std::vector<std::string>();
    others.erase("type");
    for (const auto& [keyword, ignored] : others.items()) {
      if (restricts(Json{{keyword, ignored}})) {
        reject(path + keyword, "this keyword is not supported beside enum or const");
      }
    }
    std::vector<ExprPtr> options;
    for (const Json& value : single ? Json::array({schema["const"]}) : schema["enum"]) {
      if (single && schema.contains("enum") && !contains(schema["enum"], value)) continue;
      const bool fits =
          types.empty() ||
          std::any_of(types.begin(), types.end(), [&](const auto& t) { return is_type(value, t); });
      if (fits) options.push_back(json_.value(value));
    }
    if (options.empty())
      reject(path + (single ? "const" : "enum"), "no value is of the right type");
    return choice(std::move(options));
  }

  static bool contains(const Json& list, const Json& value) {
    return list.is_array() && std::find(list.begin(), list.end(), value) != list.end();
  }

  // As `type` says; without it, the types that some keyword restricts; empty: any value.
  std::vector<std::string> types_of(const Json& schema, const std::string& path) {
    std::vector<std::string> types;
    if (schema.contains("type")) {
      const Json& type = schema["type"];
      for (const Json& name : type.is_array() ? type : Json::array({type})) {
        constexpr std::array known = {"null",   "boolean", "object", "array",
                                      "number", "string",  "integer"};
        if (std::find(known.begin(), known.end(), name) == known.end()) {
          reject(path + "type", "must be null, boolean, object, array, number, string or integer");
        }
        types.push_back(name.get<std::string>());
      }
      if (types.empty()) reject(path + "type", "must not be empty");
      return types;
    }
    for (const TypeKeywords& row : type_keywords()) {
      const bool used = std::any_of(row.keywords.begin(), row.keywords.end(),
                                    [&](const std::string& k) { return schema.contains(k); });
      if (used) types.push_back(row.type);
    }
    return types;
  }

  ExprPtr typed(const std::string& type, const Json& schema, const std::string& path) {
    if (type == "null") return json_.value(nullptr);
    if (type == "boolean") return choice({json_.value(true), json_.value(false)});
    if (type == "string") return string_value(json_, schema, path);
    if (type == "integer") return number_value(grammar_, schema, true, path);
    if (type == "number") return number_value(grammar_, schema, false, path);
    return type == "array" ? array(schema, path) : object(schema, path);
  }

  ExprPtr array(const Json& schema, const std::string& path) {
    if (schema.contains("uniqueItems") && schema["uniqueItems"] != false) {
      reject(path + "uniqueItems", "this keyword is not supported");
    }
    check_unevaluated(schema, "unevaluatedItems", path);
    // Drafts before 2020-12 write tuples as `items` and the rest as `additionalItems`.
    const bool old_tuple = schema.contains("items") && schema["items"].is_array();
    const char* first_name = old_tuple ? "items" : "prefixItems";
    const char* rest_name = old_tuple ? "additionalItems" : "items";
    std::vector<ExprPtr> first;
    if (schema.contains(first_name)) {
      if (!schema[first_name].is_array()) reject(path + first_name, "must be an array of schemas");
      for (size_t i = 0; i < schema[first_name].size(); ++i) {
        first.push_back(
            value(schema[first_name][i], path + first_name + "[" + std::to_string(i) + "]."));
      }
    }
    const int tuple = static_cast<int>(first.size());
    const int min = count_of(schema, "minItems", path).value_or(tuple);
    const int max = count_of(schema, "maxItems", path).value_or(kUnbounded);
    if (max != kUnbounded && max < min)
      reject(path + "maxItems", "is less than the least number of items");
    ExprPtr rest;
    if (schema.contains(rest_name)) {
      rest = value(schema[rest_name], path + rest_name + ".");
    } else {
      rest = first.empty() ? json_.any_value() : choice({});
    }
    return json_.array(items(first, rest, min, max));
  }

  // From the back: what follows the i-th item, of which at least `min` are there in all.
  ExprPtr items(const std::vector<ExprPtr>& first, const ExprPtr& rest, int min, int max) {
    const int tuple = static_cast<int>(first.size());
    if (tuple == 0) return separated(json_, rest, min, max);
    const int rest_max = max == kUnbounded ? kUnbounded : std::max(max - tuple, 0);
    ExprPtr tail = repeat(sequence({json_.comma(), rest}), std::max(min - tuple, 0), rest_max);
    for (int i = tuple - 1; i >= 0; --i) {
      if (max != kUnbounded && i >= max) {
        tail = literal("");
        continue;
      }
      const ExprPtr item = first[static_cast<size_t>(i)];
      tail = i > 0 ? sequence({json_.comma(), item, tail}) : sequence({item, tail});
      if (i >= min) tail = shared(optional(tail));
    }
    return tail;
  }

  static void check_unevaluated(const Json& schema, const char* keyword, const std::string& path) {
    if (schema.contains(keyword) && !schema[keyword].is_boolean()) {
      reject(path + keyword, "only true and false are supported");
    }
  }

  enum class Keys {
    kQuoted,    // "name": value
    kKeywords,  // name=value
  };
  struct Member {
    std::string name;
    ExprPtr value;
    bool required = false;
  };

  ExprPtr text_of(const Member& member, Keys keys) {
    if (keys == Keys::kKeywords) return sequence({literal(member.name + "="), member.value});
    return json_.member(literal(Json(member.name).dump()), member.value);
  }

  ExprPtr object(const Json& schema, const std::string& path) {
    std::vector<Member> members;
    return json_.object(member_list(schema, path, Keys::kQuoted, members));
  }

  // A member that is not declared. Python's arguments hold none beside declared ones.
  ExprPtr extra_member(const std::vector<Member>& members, const ExprPtr& value, Keys keys) {
    if (keys == Keys::kKeywords) {
      if (!members.empty()) return nullptr;
      const CharSet first = {{'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
      const CharSet later = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
      return sequence({chars(first), repeat(chars(later), 0, kUnbounded), literal("="), value});
    }
    std::vector<std::string> names;
    for (const Member& member : members) names.push_back(member.name);
    return json_.member(json_.string_except(names), value);
  }

  // What stands between the braces; `members` becomes what is declared.
  ExprPtr member_list(const Json& schema, const std::string& path, Keys keys,
                      std::vector<Member>& members) {
    check_unevaluated(schema, "unevaluatedProperties", path);
    members = declared_members(schema, path);
    const bool open = schema.contains("additionalProperties")
                          ? schema["additionalProperties"] != false
                          : members.empty();
    ExprPtr other;  // the value of a member that is not declared
    if (open) {
      other = schema.contains("additionalProperties")
                  ? value(schema["additionalProperties"], path + "additionalProperties.")
                  : json_.any_value();
    }
    add_required(schema, other, members, path);
    const ExprPtr extra = other ? extra_member(members, other, keys) : nullptr;
    const auto [min, max] = member_counts(schema, members, open, path);
    if (members.empty()) return extra ? separated(json_, extra, min, max) : literal("");
    return in_order(members, extra, keys);
  }

  std::vector<Member> declared_members(const Json& schema, const std::string& path) {
    std::vector<Member> members;
    if (!schema.contains("properties")) return members;
    if (!schema["properties"].is_object()) reject(path + "properties", "must be an object");
    for (const auto& [name, inner] : schema["properties"].items()) {
      check_name(name, path + "properties");
      members.push_back({name, value(inner, path + "properties." + name + "."), false});
    }
    return members;
  }

  static void check_name(const std::string& name, const std::string& path) {
    if (name.size() <= kMaxNameBytes) return;
    reject(path, "a name is longer than " + std::to_string(kMaxNameBytes) + " bytes");
  }

  void add_required(const Json& schema, const ExprPtr& other, std::vector<Member>& members,
                    const std::string& path) {
    if (!schema.contains("required")) return;
    if (!schema["required"].is_array()) reject(path + "required", "must be an array of strings");
    for (const Json& entry : schema["required"]) {
      if (!entry.is_string()) reject(path + "required", "must be an array of strings");
      const std::string name = entry.get<std::string>();
      check_name(name, path + "required");
      const auto known = std::find_if(members.begin(), members.end(),
                                      [&](const Member& member) { return member.name == name; });
      if (known != members.end()) {
        known->required = true;
        continue;
      }
      if (schema.contains("additionalProperties") && !other) {
        reject(path + "required", "'" + name + "' is required and not allowed");
      }
      members.push_back({name, other ? other : json_.any_value(), true});
    }
  }

  // Of the members that are not declared; the declared ones cannot be counted.
  std::pair<int, int> member_counts(const Json& schema, const std::vector<Member>& members,
                                    bool open, const std::string& path) {
    const int required = static_cast<int>(std::count_if(
        members.begin(), members.end(), [](const Member& member) { return member.required; }));
    const int declared = static_cast<int>(members.size());
    const int min = count_of(schema, "minProperties", path).value_or(0);
    const int max = count_of(schema, "maxProperties", path).value_or(kUnbounded);
    // One key may be written twice, so more than one cannot be promised.
    const int promised = members.empty() ? (open ? 1 : 0) : required;
    if (min > promised) reject(path + "minProperties", "this number of members cannot be enforced");
    if (max != kUnbounded && !members.empty() && (open || max < declared)) {
      reject(path + "maxProperties", "this number of members cannot be enforced");
    }
    if (max != kUnbounded && max < min)
      reject(path + "maxProperties", "is less than minProperties");
    return {min, max};
  }

  // The members in their order, those not required left out or not; `extra` (may be null) after
  // them. From the back: what may follow when the i-th is next, with and without one before it.
  ExprPtr in_order(const std::vector<Member>& members, const ExprPtr& extra, Keys keys) {
    ExprPtr after = literal(""), start = literal("");
    if (extra) {
      after = repeat(sequence({json_.comma(), extra}), 0, kUnbounded);
      start = separated(json_, extra, 0, kUnbounded);
    }
    for (auto member = members.rbegin(); member != members.rend(); ++member) {
      constexpr size_t kLongList = 64;  // copied for every member before it
      if (after->parts.size() > kLongList) after = shared(after);
      const ExprPtr text = text_of(*member, keys);
      const ExprPtr first = sequence({text, after});
      const ExprPtr next = sequence({json_.comma(), text, after});
      start = member->required ? first : shared(choice({first, start}));
      after = member->required ? next : shared(choice({next, after}));
    }
    return start;
  }

  ExprPtr shared(ExprPtr body) {
    const int id = grammar_.add_rule();
    grammar_.define(id, std::move(body));
    return rule(id);
  }

  Grammar& grammar_;
  const Json& root_;
  JsonText json_;
  std::map<const Json*, int> references_;
  const TimePoint start_ = Clock::now();
  int depth_ = 0;
};

}  // namespace

ExprPtr schema_value(Grammar& grammar, const Json& schema) {
  return SchemaReader(grammar, schema, Constants::kJson).value(schema, "");
}

ExprPtr schema_keywords(Grammar& grammar, const Json& schema) {
  return SchemaReader(grammar, schema, Constants::kPython).keywords();
}

}  // namespace saccade::grammar
