#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

namespace saccade {

// model.safetensors.index.json: which shard holds which tensor.
struct SafetensorsIndex {
  std::vector<std::string> shards;  // file names, each once, in the order of first mention
  std::unordered_map<std::string, size_t> shard_of;  // tensor name -> index into shards

  // Throws LoadError for a malformed file, and for shard names that are not plain names of
  // .safetensors files beside the index (no folders, no "..").
  static SafetensorsIndex load(const std::filesystem::path& path);
};

}  // namespace saccade
