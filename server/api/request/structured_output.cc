#include "server/api/request/structured_output.h"

#include <algorithm>

#include "server/json_limits.h"

namespace saccade::api {
namespace {

using GrammarKind = GrammarSpec::Kind;

// A schema as an object, true, or JSON text of either.
std::optional<GrammarSpec> schema_spec(Fields& fields, const Json& value, const std::string& path) {
  Json schema = value;
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (const Status status = check_json_size(text, path); !status.ok()) {
      fields.fail(path, status.message());
      return std::nullopt;
    }
    schema = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (schema.is_discarded()) {
      fields.fail(path, path + " must be a JSON schema; the text is not JSON");
      return std::nullopt;
    }
  }
  if (!schema.is_object() && !schema.is_boolean()) {
    fields.fail(path, path + " must be an object, not " + std::string(kind_of(schema)));
    return std::nullopt;
  }
  return GrammarSpec{GrammarKind::kJsonSchema, to_text(schema), path};
}

std::optional<GrammarSpec> text_spec(Fields& fields, GrammarKind kind, const Json& value,
                                     const std::string& path) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
    fields.fail(path, path + " must be a string that is not empty");
    return std::nullopt;
  }
  return GrammarSpec{kind, value.get<std::string>(), path};
}

std::optional<GrammarSpec> choice_spec(Fields& fields, const Json& value, const std::string& path) {
  const bool strings = value.is_array() && !value.empty() &&
                       std::all_of(value.begin(), value.end(), [](const Json& option) {
                         return option.is_string() && !option.get_ref<const std::string&>().empty();
                       });
  if (!strings) {
    fields.fail(path, path + " must be an array of strings that are not empty");
    return std::nullopt;
  }
  return GrammarSpec{GrammarKind::kChoice, to_text(value), path};
}

void check_schema_name(Fields& format, const std::string& path) {
  std::string name;
  format.read("name", name);
  if (!is_valid_name(name)) {
    format.fail(path + ".name", path + ".name must be 1 to 64 letters, digits, _ or -");
  }
}

std::optional<GrammarSpec> json_schema_format(Fields& fields, const Fields& outer) {
  const std::string path = outer.path("json_schema");
  const Json* member = outer.find("json_schema");
  if (member == nullptr || !member->is_object()) {
    fields.fail(path, path + " must be an object with a name and a schema");
    return std::nullopt;
  }
  Fields format(*member, path);
  check_schema_name(format, path);
  bool strict = false;  // the schema is enforced in both cases
  std::string description;
  format.read("strict", strict);
  format.read("description", description);
  if (!format.ok()) {
    fields.fail(format.status());
    return std::nullopt;
  }
  const Json* schema = format.find("schema");
  if (schema == nullptr) return GrammarSpec{GrammarKind::kJsonObject, "", path};
  return schema_spec(fields, *schema, format.path("schema"));
}

std::optional<GrammarSpec> response_format(Fields& fields, const Json& value) {
  const std::string path = fields.path("response_format");
  if (!value.is_object()) {
    fields.fail(path, path + " must be an object");
    return std::nullopt;
  }
  Fields format(value, path);
  std::string type;
  format.read("type", type);
  if (!format.ok()) {
    fields.fail(format.status());
  } else if (type == "json_object") {
    const Json* schema = format.find("schema");  // as llama-server has it
    if (schema != nullptr) return schema_spec(fields, *schema, format.path("schema"));
    return GrammarSpec{GrammarKind::kJsonObject, "", path};
  } else if (type == "json_schema") {
    return json_schema_format(fields, format);
  } else if (type != "text") {
    const std::string where = format.path("type");
    fields.fail(where, where + " must be text, json_object or json_schema");
  }
  return std::nullopt;
}

// vLLM's names, each with a prefix ("guided_json") or inside of structured_outputs ("json").
std::optional<GrammarSpec> read_one(Fields& fields, const Fields& object, const std::string& prefix,
                                    std::string_view kind) {
  const std::string name = prefix + std::string(kind);
  const Json* value = object.find(name.c_str());
  if (value == nullptr) return std::nullopt;
  const std::string path = object.path(name);
  if (kind == "json") return schema_spec(fields, *value, path);
  if (kind == "regex") return text_spec(fields, GrammarKind::kRegex, *value, path);
  if (kind == "grammar") return text_spec(fields, GrammarKind::kGrammar, *value, path);
  if (kind == "choice") return choice_spec(fields, *value, path);
  if (!value->is_boolean()) fields.fail(path, path + " must be a boolean");
  if (*value != true) return std::nullopt;
  return GrammarSpec{GrammarKind::kJsonObject, "", path};
}

}  // namespace

std::optional<GrammarSpec> read_structured_output(Fields& fields) {
  std::optional<GrammarSpec> format;
  const auto take = [&](std::optional<GrammarSpec> spec) {
    if (!spec) return;
    if (format) {
      return fields.fail(spec->param,
                         spec->param + " and " + format->param + " exclude each other");
    }
    format = std::move(spec);
  };
  if (const Json* value = fields.find("response_format")) take(response_format(fields, *value));
  constexpr const char* kKinds[] = {"json", "regex", "choice", "grammar", "json_object"};
  for (const char* kind : kKinds) take(read_one(fields, fields, "guided_", kind));
  if (const Json* value = fields.find("structured_outputs")) {
    const std::string path = fields.path("structured_outputs");
    if (!value->is_object()) {
      fields.fail(path, path + " must be an object");
      return std::nullopt;
    }
    const Fields inner(*value, path);
    for (const char* kind : kKinds) take(read_one(fields, inner, "", kind));
    if (inner.find("structural_tag") != nullptr) {
      fields.fail(inner.path("structural_tag"), "structural_tag is not supported");
    }
  }
  return fields.ok() ? format : std::nullopt;
}

Status constrain(GrammarCompiler& grammars, const std::optional<GrammarSpec>& format,
                 GenerationOptions& options) {
  if (!format) return {};
  const auto grammar = grammars.compile(*format);
  if (!grammar) return grammar.status();
  options.constraint = [grammar = *grammar, credit = std::make_shared<GrammarCredit>()] {
    return grammar->start(credit);
  };
  options.constraint_field = format->param;
  return {};
}

}  // namespace saccade::api
