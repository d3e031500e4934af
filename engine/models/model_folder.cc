#include "engine/models/model_folder.h"

namespace saccade {
namespace {

const Json& empty_object() {
  static const Json json{Json::Object{}};
  return json;
}

}  // namespace

ModelFolder::ModelFolder(const std::filesystem::path& path)
    : path_(path), config_(path / "config.json") {
  const std::filesystem::path generation = path / "generation_config.json";
  if (std::filesystem::exists(generation)) generation_.emplace(generation);
}

JsonView ModelFolder::section(std::string_view key) const {
  if (const std::optional<JsonView> found = config().object(key)) return *found;
  return JsonView(empty_object(), "config.json: " + std::string(key));
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
