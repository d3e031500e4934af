#include "engine/weights/safetensors_index.h"

#include <string_view>

#include "engine/weights/json.h"

namespace saccade {
namespace {

bool is_plain_shard_name(std::string_view name) {
  constexpr std::string_view kSuffix = ".safetensors";
  return name.size() > kSuffix.size() && name.ends_with(kSuffix) && name.front() != '.' &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

}  // namespace

SafetensorsIndex SafetensorsIndex::load(const std::filesystem::path& path) {
  const JsonFile file(path);
  const JsonView map = file.root().required_object("weight_map");
  SafetensorsIndex index;
  std::unordered_map<std::string_view, size_t> known;
  for (const JsonMember& member : map.members()) {
    const std::string* shard = member.value.string();
    if (shard == nullptr || !is_plain_shard_name(*shard)) {
      throw LoadError(map.path() + ": " + printable(member.key) +
                      ": expected the name of a .safetensors file in the same folder, got " +
                      member.value.describe());
    }
    const auto [entry, added] = known.try_emplace(*shard, index.shards.size());
    if (added) index.shards.push_back(*shard);
    index.shard_of.emplace(member.key, entry->second);
  }
  if (index.shards.empty()) throw LoadError(map.path() + ": names no tensors");
  return index;
}

}  // namespace saccade
