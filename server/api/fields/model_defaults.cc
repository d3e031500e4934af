#include "server/api/fields/model_defaults.h"

#include <algorithm>

#include "server/api/fields/request_tables.h"
#include "server/api/service/folder_files.h"

namespace saccade::api {
namespace {

// Generation fields, what templates take, and max_tokens; not what a request is about.
bool may_have_default(const std::string& name) {
  for (const char* own : {"model", "stream", "stream_options", "chat_template"}) {
    if (name == own) return false;
  }
  const auto holds = [&](FieldTable table) {
    return std::any_of(table.begin(), table.end(),
                       [&](const Field& field) { return name == field.name; });
  };
  return name == "max_tokens" || holds(kGenerationFields) || holds(kTemplateFields);
}

}  // namespace

std::map<std::string, Json> read_model_defaults(const std::filesystem::path& file,
                                                const std::vector<std::string>& names,
                                                const ModelLimits& limits) {
  std::map<std::string, Json> defaults;
  if (file.empty()) return defaults;
  const auto fail = [&](const std::string& what) { throw LoadError(file.string() + ": " + what); };
  const Json all = Json::parse(read_file(file), nullptr, false);
  if (!all.is_object()) fail("must hold a JSON object");
  for (const auto& [name, fields] : all.items()) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      fail("the model '" + name + "' is not served (--served-model-name)");
    }
    if (!fields.is_object()) fail(name + " must be an object of fields");
    for (const auto& [field, value] : fields.items()) {
      if (!may_have_default(field)) fail(name + "." + field + " cannot have a default");
    }
    const Fields checked(fields, {kGenerationFields, kTemplateFields}, limits, name);
    if (!checked.ok()) fail(checked.status().message());
    defaults[name] = fields;
  }
  return defaults;
}

}  // namespace saccade::api
