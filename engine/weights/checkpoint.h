#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/weights/gguf.h"
#include "engine/weights/safetensors.h"

namespace saccade {

// The weights of a model: of a Hugging Face folder, model.safetensors, or the shards that
// model.safetensors.index.json names (another stem than "model" for adapters); or of a GGUF file,
// whose tensors go by the names they would have in such a folder. Files may be
// symbolic links, as in the hub's cache. Weights in any other format (pickles) are never opened.
// Not copied or moved: views point into it.
class Checkpoint {
 public:
  // Throws LoadError naming the file; for shards also when one is missing or lacks a tensor that
  // the index promises. Tensors that the index does not list come from the first shard that has
  // them.
  explicit Checkpoint(const std::filesystem::path& path, const std::string& stem = "model");
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  static Checkpoint open(const std::filesystem::path& path) { return Checkpoint(path); }

  // nullptr when there is no such tensor.
  const TensorView* find(std::string_view name) const;
  // All tensors, ordered by name.
  const std::vector<const TensorView*>& tensors() const { return tensors_; }
  size_t total_bytes() const { return total_bytes_; }
  // The file that a tensor of this checkpoint came from, for messages.
  const std::string& file_of(const TensorView& tensor) const;

  // See SafetensorsFile::advise_dontneed.
  void advise_dontneed(const TensorView& tensor) const;
  // See MappedFile::detach_pages.
  void detach(const TensorView& tensor) const;

 private:
  void open_gguf(const std::filesystem::path& path);
  void open_shards(const std::filesystem::path& folder, const std::filesystem::path& index_path);
  void index_tensors();

  std::vector<SafetensorsFile> files_;  // empty beside gguf_
  std::optional<GgufFile> gguf_;
  std::vector<TensorView> gguf_tensors_;
  std::vector<const TensorView*> tensors_;
  std::unordered_map<std::string_view, std::pair<const TensorView*, size_t>> by_name_;  // , file
  size_t total_bytes_ = 0;
};

}  // namespace saccade
