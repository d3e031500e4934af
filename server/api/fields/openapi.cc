#include "server/api/fields/openapi.h"

#include <cmath>
#include <sstream>

#include "server/ascii_case.h"

namespace saccade::api {
namespace {

Json number_of(double value) {
  if (value == std::floor(value) && std::abs(value) < kNoMaximum) {
    return static_cast<int64_t>(value);
  }
  // As written in the table or on the command line, without a float's tail.
  std::ostringstream text;
  text.precision(7);
  text << value;
  return Json::parse(text.str());
}

Json nullable(const char* type) { return Json::array({type, "null"}); }

Json string_schema(const Field& field, const ModelLimits& limits) {
  Json schema = {{"type", "string"}};
  if (!field.may_be_empty) schema["minLength"] = 1;
  const double max_bytes = field.max_bytes.get(limits);
  if (max_bytes < kNoMaximum) schema["maxLength"] = number_of(max_bytes);
  if (field.choices == nullptr) return schema;
  schema["enum"] = choices_of(field);
  return schema;
}

Json number_schema(const Field& field, const ModelLimits& limits) {
  Json schema = {{"type", field.type == FieldType::kInteger ? "integer" : "number"}};
  schema[field.above_min ? "exclusiveMinimum" : "minimum"] = number_of(field.min.get(limits));
  const double max = field.max.get(limits);
  if (max < kNoMaximum) schema["maximum"] = number_of(max);
  return schema;
}

Json object_schema(FieldTable members, const ModelLimits& limits);

Json field_schema(const Field& field, const ModelLimits& limits) {
  const double max_count = field.max_count.get(limits);
  Json schema;
  switch (field.type) {
    case FieldType::kBoolean:
      return {{"type", "boolean"}};
    case FieldType::kInteger:
    case FieldType::kNumber:
      return number_schema(field, limits);
    case FieldType::kString:
      return string_schema(field, limits);
    case FieldType::kStrings: {
      const Json one = string_schema(field, limits);
      Json several = {{"type", "array"}, {"items", one}};
      if (max_count < kNoMaximum) several["maxItems"] = number_of(max_count);
      return {{"anyOf", Json::array({one, several})}};
    }
    case FieldType::kStringMap:
      schema = {{"type", "object"}, {"additionalProperties", string_schema(field, limits)}};
      break;
    case FieldType::kBiases:
      schema = {{"type", "object"},
                {"additionalProperties",
                 {{"type", "number"},
                  {"minimum", number_of(field.min.get(limits))},
                  {"maximum", number_of(field.max.get(limits))}}},
                {"propertyNames", {{"pattern", "^(0|[1-9][0-9]*)$"}}}};
      break;
    case FieldType::kTokenIds:
      schema = {
          {"type", "array"},
          {"items", {{"type", "integer"}, {"minimum", 0}, {"maximum", limits.vocab_size - 1}}}};
      if (max_count < kNoMaximum) schema["maxItems"] = number_of(max_count);
      return schema;
    case FieldType::kObject:
      return object_schema(field.members, limits);
    case FieldType::kObjects:
      return {{"type", "array"}, {"items", object_schema(field.members, limits)}};
    case FieldType::kRefused:
      schema["enum"] = Json::array();
      for (const std::string& choice : choices_of(field)) {
        schema["enum"].push_back(Json::parse(choice));
      }
      if (schema["enum"].empty()) return {{"type", "null"}};
      return schema;
    case FieldType::kCustom:
      return field.schema == nullptr ? Json::object() : field.schema(limits);
  }
  if (max_count < kNoMaximum) schema["maxProperties"] = number_of(max_count);
  return schema;
}

// Every field that may be left out may be null, too.
Json optional_schema(Json schema) {
  if (schema.empty() || schema.value("type", Json()) == "null") return schema;
  if (schema.contains("type") && !schema.contains("enum")) {
    const auto type = schema["type"].get<std::string>();
    schema["type"] = nullable(type.c_str());
    return schema;
  }
  return {{"anyOf", Json::array({std::move(schema), {{"type", "null"}}})}};
}

void add_members(FieldTable members, const ModelLimits& limits, Json& schema) {
  for (const Field& field : members) {
    Json member = field_schema(field, limits);
    if (!field.required) member = optional_schema(std::move(member));
    if (field.has_default) {
      const double value = field.default_value.get(limits);
      member["default"] = field.type == FieldType::kBoolean ? Json(value != 0) : number_of(value);
    }
    if (*field.note != '\0') member["description"] = field.note;
    schema["properties"][field.name] = std::move(member);
    if (field.required) schema["required"].push_back(field.name);
  }
}

Json object_schema(FieldTable members, const ModelLimits& limits) {
  Json schema = {{"type", "object"}};
  add_members(members, limits, schema);
  return schema;
}

Json body_of(const RouteDoc& route, const ModelLimits& limits) {
  if (route.form) {
    const Json schema = {{"type", "object"},
                         {"properties",
                          {{"file", {{"type", "string"}, {"format", "binary"}}},
                           {"purpose", {{"type", "string"}, {"enum", {"vision", "user_data"}}}}}},
                         {"required", {"file", "purpose"}}};
    return {{"required", true}, {"content", {{"multipart/form-data", {{"schema", schema}}}}}};
  }
  Json schema = {{"type", "object"}};
  for (const FieldTable table : route.body) add_members(table, limits, schema);
  return {{"required", true}, {"content", {{"application/json", {{"schema", schema}}}}}};
}

Json answers_of(const RouteDoc& route) {
  const auto error = [](const char* what) -> Json {
    return {{"description", what},
            {"content",
             {{"application/json", {{"schema", {{"$ref", "#/components/schemas/Error"}}}}}}}};
  };
  Json schema = Json::object();
  if (route.content_type == "application/json") schema["type"] = "object";
  Json content = {{route.content_type, {{"schema", schema}}}};
  if (route.streams) content["text/event-stream"] = {{"schema", {{"type", "string"}}}};
  Json answers = {{"200", {{"description", "the answer"}, {"content", std::move(content)}}}};
  const bool has_body = !route.body.empty() || route.form;
  if (route.needs_key) answers["401"] = error("no valid API key");
  answers["404"] = error("there is no such model, file or response");
  answers["414"] = error("the URI is too long");
  answers["431"] = error("the headers are too large");
  answers["400"] = error("the request is wrong; `param` names the field");
  answers["503"] = error("loading, draining, or out of memory for bodies; with Retry-After");
  if (!has_body) return answers;
  answers["408"] = error("the body did not arrive in time");
  answers["413"] = error("the body is too large");
  answers["415"] = error("an encoding that is not understood");
  answers["429"] = error("the queue is full, or the key's limit is reached; with Retry-After");
  return answers;
}

Json parameters_of(const RouteDoc& route) {
  Json parameters = Json::array();
  const size_t open = route.path.find('{');
  if (open == std::string::npos) return parameters;
  const size_t close = route.path.find('}', open);
  parameters.push_back({{"name", route.path.substr(open + 1, close - open - 1)},
                        {"in", "path"},
                        {"required", true},
                        {"schema", {{"type", "string"}}}});
  return parameters;
}

Json error_schema() {
  const Json text = {{"type", "string"}};
  const Json perhaps = {{"type", nullable("string")}};
  return {{"type", "object"},
          {"required", {"error"}},
          {"properties",
           {{"error",
             {{"type", "object"},
              {"required", {"message", "type"}},
              {"properties",
               {{"message", text}, {"type", text}, {"param", perhaps}, {"code", perhaps}}}}}}}};
}

}  // namespace

Json openapi_document(const std::vector<RouteDoc>& routes, const ModelLimits& limits,
                      const std::string& version) {
  Json paths = Json::object();
  for (const RouteDoc& route : routes) {
    Json operation = {{"summary", route.summary}};
    if (Json parameters = parameters_of(route); !parameters.empty()) {
      operation["parameters"] = std::move(parameters);
    }
    if (!route.body.empty() || route.form) operation["requestBody"] = body_of(route, limits);
    operation["responses"] = answers_of(route);
    if (!route.needs_key) operation["security"] = Json::array();
    paths[route.path][lower_case(route.method)] = std::move(operation);
  }
  const Json key = {{"type", "http"}, {"scheme", "bearer"}};
  return {{"openapi", "3.1.0"},
          {"info",
           {{"title", "saccade"},
            {"version", version},
            {"description", "An inference server for vision-language models."}}},
          {"paths", std::move(paths)},
          {"security", Json::array({{{"key", Json::array()}}})},
          {"components",
           {{"schemas", {{"Error", error_schema()}}}, {"securitySchemes", {{"key", key}}}}}};
}

}  // namespace saccade::api
