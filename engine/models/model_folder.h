#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/types.h"
#include "engine/weights/json.h"
#include "engine/weights/library_version.h"

namespace saccade {

// The JSON files of a checkpoint folder, read once, or what a GGUF file says in their place. What a
// family's config mapping works on.
class ModelFolder {
 public:
  // Throws LoadError when config.json is missing or malformed, or the GGUF file is.
  explicit ModelFolder(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  JsonView config() const { return JsonView(config_, config_name_); }
  std::string model_type() const { return config().string("model_type"); }

  // config.json's transformers_version.
  LibraryVersion library_version() const;

  // config.json's member of that name, or an empty object where the file leaves it out (every field
  // then has its class default).
  JsonView section(std::string_view key) const;

  bool has_generation_config() const { return generation_.has_value(); }

  // End ids: generation_config.json's eos_token_id (a number or a list), else config.json's, else
  // text_config's.
  std::vector<TokenId> eos_ids() const;

  // Id of a token that the tokenizer's files list besides the vocabulary, as it is spelt there:
  // tokenizer_config.json's added_tokens_decoder, tokenizer.json's added_tokens, or
  // added_tokens.json.
  std::optional<TokenId> added_token_id(const std::string& text) const;

 private:
  std::filesystem::path path_;
  std::string config_name_;  // for messages
  Json config_;
  std::optional<JsonFile> generation_;
};

}  // namespace saccade
