#include "engine/models/model_folder.h"

#include <charconv>
#include <utility>

#include "engine/weights/file_exists.h"
#include "engine/weights/gguf_llama.h"

namespace saccade {
namespace {

const Json& empty_object() {
  static const Json json{Json::Object{}};
  return json;
}

// An entry {"content": text, …} of a list or a map of added tokens.
bool spells(const Json& token, const std::string& text) {
  const Json* content = token.find("content");
  return content != nullptr && content->string() != nullptr && *content->string() == text;
}

std::optional<TokenId> token_id(const Json* id) {
  if (id == nullptr || id->integer() == nullptr) return std::nullopt;
  if (*id->integer() < 0 || *id->integer() > JsonView::kMaxInt) return std::nullopt;
  return static_cast<TokenId>(*id->integer());
}

// {"32001": {"content": "<image>"}}
std::optional<TokenId> find_in_decoder(const Json& root, const std::string& text) {
  const Json* tokens = root.find("added_tokens_decoder");
  if (tokens == nullptr || tokens->object() == nullptr) return std::nullopt;
  for (const JsonMember& member : *tokens->object()) {
    int id = 0;
    const char* end = member.key.data() + member.key.size();
    const auto [last, error] = std::from_chars(member.key.data(), end, id);
    const bool number = error == std::errc() && last == end && id >= 0;
    if (number && spells(member.value, text)) return id;
  }
  return std::nullopt;
}

// [{"id": 32001, "content": "<image>"}]
std::optional<TokenId> find_in_list(const Json& root, const std::string& text) {
  const Json* tokens = root.find("added_tokens");
  if (tokens == nullptr || tokens->array() == nullptr) return std::nullopt;
  for (const Json& token : *tokens->array()) {
    if (spells(token, text)) return token_id(token.find("id"));
  }
  return std::nullopt;
}

// {"<image>": 32001}
std::optional<TokenId> find_in_map(const Json& root, const std::string& text) {
  return token_id(root.find(text));
}

}  // namespace

ModelFolder::ModelFolder(const std::filesystem::path& path) : path_(path) {
  if (GgufFile::is_at(path)) {
    const GgufFile file(path);
    config_name_ = file.name();
    config_ = gguf_config(file);
    return;
  }
  if (!file_exists(path)) {
    throw LoadError(path.string() + ": no such folder or file");
  }
  const JsonFile config(path / "config.json");
  config_name_ = config.name();
  config_ = config.json();
  const std::filesystem::path generation = path / "generation_config.json";
  if (file_exists(generation)) generation_.emplace(generation);
}

LibraryVersion ModelFolder::library_version() const {
  return parse_library_version(config().string("transformers_version", ""));
}

JsonView ModelFolder::section(std::string_view key) const {
  if (const std::optional<JsonView> found = config().object(key)) return *found;
  return JsonView(empty_object(), "config.json: " + std::string(key));
}

std::optional<TokenId> ModelFolder::added_token_id(const std::string& text) const {
  using Find = std::optional<TokenId> (*)(const Json&, const std::string&);
  const std::pair<const char*, Find> places[] = {{"tokenizer_config.json", find_in_decoder},
                                                 {"tokenizer.json", find_in_list},
                                                 {"added_tokens.json", find_in_map}};
  for (const auto& [name, find] : places) {
    if (!file_exists(path_ / name)) continue;
    const JsonFile file(path_ / name);
    if (const std::optional<TokenId> id = find(file.json(), text)) return id;
  }
  return std::nullopt;
}

std::vector<TokenId> ModelFolder::eos_ids() const {
  std::vector<JsonView> places;
  if (generation_) places.push_back(generation_->root());
  places.push_back(config());
  places.push_back(section("text_config"));
  for (const JsonView& place : places) {
    if (!place.has("eos_token_id")) continue;
    const std::vector<int> ids = place.int_or_int_list("eos_token_id");
    for (const int id : ids) {
      if (id < 0)
        place.fail("eos_token_id", "expected ids of at least 0, got " + std::to_string(id));
    }
    return std::vector<TokenId>(ids.begin(), ids.end());
  }
  return {};
}

}  // namespace saccade
