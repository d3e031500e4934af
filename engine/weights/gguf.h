#pragma once

#include <filesystem>
#include <vector>

#include "engine/weights/json.h"
#include "engine/weights/mapped_file.h"
#include "engine/weights/tensor_view.h"

namespace saccade {

// One .gguf file (llama.cpp's format, versions 2 and 3, little-endian), mapped and checked: counts
// and lengths against the file, value types, each tensor's dtype, shape (product without overflow,
// rows of whole blocks) and place (aligned, inside the data, no overlaps). Layout: ggml's
// docs/gguf.md. The weights themselves are not looked at.
class GgufFile {
 public:
  // Throws LoadError "NAME: ...", "NAME: KEY: ..." or "NAME: TENSOR: ...".
  explicit GgufFile(const std::filesystem::path& path);

  // Whether `path` is a regular file that begins like one.
  static bool is_at(const std::filesystem::path& path);

  // The key-value part; messages of the view name file and key.
  JsonView metadata() const { return JsonView(metadata_, name_); }
  const std::vector<TensorView>& tensors() const { return tensors_; }  // as the file orders them
  const std::string& name() const { return name_; }

  // See SafetensorsFile::advise_dontneed.
  void advise_dontneed(const TensorView& tensor) const {
    file_.drop_pages(tensor.data, tensor.bytes);
  }
  // See MappedFile::detach_pages.
  void detach(const TensorView& tensor) const { file_.detach_pages(tensor.data, tensor.bytes); }

 private:
  std::string name_;
  MappedFile file_;
  Json metadata_;
  std::vector<TensorView> tensors_;
};

}  // namespace saccade
