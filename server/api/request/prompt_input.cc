#include "server/api/request/prompt_input.h"

#include "server/api/request/generation_options.h"
#include "server/prompt/prompt_builder.h"

namespace saccade::api {
namespace {

void read_text(Fields& fields, const std::string& path, const Json& text,
               std::vector<TextOrIds>& texts) {
  Field field{"", FieldType::kString};
  field.max_bytes = kMaxPromptBytes;
  fields.fail(check_field(field, text, path, ModelLimits()));
  if (fields.ok()) texts.emplace_back(text.get<std::string>());
}

void read_ids(Fields& fields, const std::string& path, const Json& list, const ModelLimits& limits,
              std::vector<TextOrIds>& texts) {
  Field field{"", FieldType::kTokenIds};
  field.max_count = limits.max_model_len;
  fields.fail(check_field(field, list, path, limits));
  if (!fields.ok()) return;
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& id : list) ids.push_back(static_cast<int32_t>(id.get<double>()));
  texts.emplace_back(std::move(ids));
}

}  // namespace

std::vector<TextOrIds> read_texts(Fields& fields, const char* name, const ModelLimits& limits,
                                  size_t max_count) {
  std::vector<TextOrIds> texts;
  if (!fields.ok()) return texts;
  const Json* value = fields.find(name);
  const std::string path = fields.path(name);
  if (value == nullptr) {
    fields.fail(path, path + " is missing");
  } else if (value->is_string()) {
    read_text(fields, path, *value, texts);
  } else if (!value->is_array()) {
    fields.fail(path, path + " must be a string or an array, not " + std::string(kind_of(*value)));
  } else if (value->empty()) {
    fields.fail(path, path + " must not be empty");
  } else if (value->front().is_number()) {
    read_ids(fields, path, *value, limits, texts);
  } else if (value->size() > max_count) {
    fields.fail(path, path + " holds more than " + std::to_string(max_count) + " texts");
  } else {
    for (size_t i = 0; i < value->size() && fields.ok(); ++i) {
      const Json& item = (*value)[i];
      const std::string where = element_path(path, i);
      if (item.is_string()) {
        read_text(fields, where, item, texts);
      } else if (item.is_array() && !item.empty()) {
        read_ids(fields, where, item, limits, texts);
      } else {
        fields.fail(where, where + " must be a string or a list of token ids");
      }
    }
  }
  return texts;
}

}  // namespace saccade::api
