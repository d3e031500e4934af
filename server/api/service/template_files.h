#pragma once

#include <filesystem>
#include <string>

#include "server/api/fields/json.h"

namespace saccade::api {

// A chat template's text (empty: there is none) and where it stands, for messages.
struct TemplateFile {
  std::string text;
  std::string origin;
};

struct TemplateFiles {
  TemplateFile chat;
  TemplateFile tool_use;  // in its place for chats with tools
};

// Which templates of a checkpoint folder transformers' AutoProcessor (`of_processor`) or
// AutoTokenizer takes:
//   chat_template.jinja, and additional_chat_templates/NAME.jinja beside it, before what
//   tokenizer_config.json has: one text, or a list of named ones. Of several that named "default".
//   A processor takes chat_template.json before all of them (a tokenizer never opens it) and
//   processor_config.json after the .jinja, from 5.0 on before all; a tokenizer's own template
//   comes last. Its chats with tools use "default", a tokenizer's the one named "tool_use".
// Where the library is left without one, what else the folder has is better than none.
//
// `tokenizer_config`: tokenizer_config.json, or what of it a GGUF file holds. Throws LoadError.
TemplateFiles find_template_files(const std::filesystem::path& folder, bool of_processor,
                                  const Json& tokenizer_config);

}  // namespace saccade::api
