#include "engine/weights/checkpoint.h"

#include <algorithm>
#include <system_error>

#include "engine/core/status.h"
#include "engine/weights/file_exists.h"
#include "engine/weights/gguf_llama.h"
#include "engine/weights/json.h"
#include "engine/weights/safetensors_index.h"

namespace saccade {
namespace {

// "a, b, c and 12 more", names quoted.
std::string list_names(const std::vector<std::string_view>& names) {
  constexpr size_t kShown = 5;
  std::string out;
  for (size_t i = 0; i < names.size() && i < kShown; ++i) {
    if (i > 0) out += ", ";
    out += printable(names[i]);
  }
  if (names.size() > kShown) out += " and " + std::to_string(names.size() - kShown) + " more";
  return out;
}

[[noreturn]] void fail_without_weights(const std::filesystem::path& folder,
                                       const std::string& single) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    throw LoadError(folder.string() + ": not a folder");
  }
  std::string message =
      folder.string() + ": has neither " + single + " nor " + single + ".index.json";
  if (file_exists(folder / "pytorch_model.bin") ||
      file_exists(folder / "pytorch_model.bin.index.json")) {
    message += " (its pickled weights are not read; convert them to safetensors)";
  }
  throw LoadError(message);
}

}  // namespace

Checkpoint::Checkpoint(const std::filesystem::path& path, const std::string& stem) {
  const std::string single = stem + ".safetensors";
  const std::string index = single + ".index.json";
  if (GgufFile::is_at(path)) {
    open_gguf(path);
  } else if (file_exists(path / single)) {
    files_.emplace_back(path / single);
    index_tensors();
  } else if (file_exists(path / index)) {
    open_shards(path, path / index);
  } else {
    fail_without_weights(path, single);
  }
  for (const auto& [name, entry] : by_name_) {
    tensors_.push_back(entry.first);
    total_bytes_ += entry.first->bytes;
  }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const TensorView* a, const TensorView* b) { return a->name < b->name; });
}

void Checkpoint::open_gguf(const std::filesystem::path& path) {
  gguf_.emplace(path);
  gguf_tensors_ = gguf_tensors(*gguf_);
  for (const TensorView& tensor : gguf_tensors_) by_name_.try_emplace(tensor.name, &tensor, 0);
}

void Checkpoint::open_shards(const std::filesystem::path& folder,
                             const std::filesystem::path& index_path) {
  const SafetensorsIndex index = SafetensorsIndex::load(index_path);
  std::vector<std::string_view> missing;
  for (const std::string& shard : index.shards) {
    if (!file_exists(folder / shard)) missing.push_back(shard);
  }
  if (!missing.empty()) {
    throw LoadError(index_path.filename().string() + ": the folder lacks " + list_names(missing));
  }
  for (const std::string& shard : index.shards) files_.emplace_back(folder / shard);
  // The index decides where a tensor is taken from, whatever else a shard holds.
  for (size_t file = 0; file < files_.size(); ++file) {
    for (const TensorView& tensor : files_[file].tensors()) {
      const auto assigned = index.shard_of.find(tensor.name);
      if (assigned != index.shard_of.end() && assigned->second == file) {
        by_name_.emplace(tensor.name, std::pair(&tensor, file));
      }
    }
  }
  for (const auto& [name, shard] : index.shard_of) {
    if (!by_name_.contains(name)) missing.push_back(name);
  }
  if (!missing.empty()) {
    std::sort(missing.begin(), missing.end());
    const std::string& shard = index.shards[index.shard_of.at(std::string(missing.front()))];
    throw LoadError(shard + ": lacks tensors that " + index_path.filename().string() +
                    " promises: " + list_names(missing));
  }
  index_tensors();
}

// Adds every tensor that is not assigned yet.
void Checkpoint::index_tensors() {
  for (size_t file = 0; file < files_.size(); ++file) {
    for (const TensorView& tensor : files_[file].tensors()) {
      by_name_.try_emplace(tensor.name, &tensor, file);
    }
  }
}

const TensorView* Checkpoint::find(std::string_view name) const {
  const auto entry = by_name_.find(name);
  return entry == by_name_.end() ? nullptr : entry->second.first;
}

const std::string& Checkpoint::file_of(const TensorView& tensor) const {
  return gguf_ ? gguf_->name() : files_[by_name_.at(tensor.name).second].name();
}

void Checkpoint::advise_dontneed(const TensorView& tensor) const {
  if (gguf_) return gguf_->advise_dontneed(tensor);
  files_[by_name_.at(tensor.name).second].advise_dontneed(tensor);
}

void Checkpoint::detach(const TensorView& tensor) const {
  if (gguf_) return gguf_->detach(tensor);
  files_[by_name_.at(tensor.name).second].detach(tensor);
}

}  // namespace saccade
