#include "server/api/service/template_files.h"

#include "engine/weights/file_exists.h"
#include "engine/weights/library_version.h"
#include "server/api/service/folder_files.h"

namespace saccade::api {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefault = "default";
constexpr const char* kToolUse = "tool_use";

// Of a `chat_template` member: one text, which is the default, or a list of named ones.
std::string named_template(const Json& config, std::string_view name) {
  const auto value = config.find("chat_template");
  if (value == config.end()) return {};
  if (value->is_string() && name == kDefault) return value->get<std::string>();
  if (!value->is_array()) return {};
  for (const Json& one : *value) {
    if (one.is_object() && one.value("name", Json()) == name && one.contains("template") &&
        one["template"].is_string()) {
      return one["template"].get<std::string>();
    }
  }
  return {};
}

TemplateFile in_config(const Json& config, const fs::path& file, const char* name) {
  return {named_template(config, name), file.string()};
}

TemplateFile in_file(const fs::path& file) {
  if (!file_exists(file)) return {};
  return {read_file(file), file.string()};
}

bool written_by_fifth(const fs::path& folder) {
  const Json version = read_json(folder / "config.json").value("transformers_version", Json());
  return version.is_string() &&
         parse_library_version(version.get_ref<const std::string&>()).first >= 5;
}

// The folder's, in the order of a processor.
TemplateFile of_processors(const fs::path& folder) {
  const fs::path files[] = {folder / "chat_template.json", folder / "chat_template.jinja",
                            folder / "processor_config.json"};
  const auto read = [&](int i) {
    return i == 1 ? in_file(files[i]) : in_config(read_json(files[i]), files[i], kDefault);
  };
  const bool fifth = written_by_fifth(folder);
  for (const int i : {fifth ? 2 : 0, fifth ? 0 : 1, fifth ? 1 : 2}) {
    if (TemplateFile file = read(i); !file.text.empty()) return file;
  }
  return {};
}

TemplateFiles of_tokenizers(const fs::path& folder, const Json& config) {
  TemplateFiles files = {in_file(folder / "chat_template.jinja"),
                         in_file(folder / "additional_chat_templates" / "tool_use.jinja")};
  const fs::path config_file = folder / "tokenizer_config.json";
  // Files leave nothing of the list in tokenizer_config.json.
  const bool listed = files.chat.text.empty() && files.tool_use.text.empty();
  if (listed) files.tool_use = in_config(config, config_file, kToolUse);
  if (files.chat.text.empty()) files.chat = in_config(config, config_file, kDefault);
  return files;
}

}  // namespace

TemplateFiles find_template_files(const fs::path& folder, bool of_processor,
                                  const Json& tokenizer_config) {
  TemplateFiles tokenizers = of_tokenizers(folder, tokenizer_config);
  if (!of_processor && !tokenizers.chat.text.empty()) return tokenizers;
  TemplateFile processors = of_processors(folder);
  if (processors.text.empty()) processors = std::move(tokenizers.chat);
  return {std::move(processors), of_processor ? TemplateFile() : std::move(tokenizers.tool_use)};
}

}  // namespace saccade::api
