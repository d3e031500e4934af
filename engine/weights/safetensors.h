#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/weights/mapped_file.h"
#include "engine/weights/tensor_view.h"

namespace saccade {

// One .safetensors file, mapped and checked: the header's length against the file and the
// reference's 100 MB, its JSON, each dtype, each shape (product without overflow, equal to the
// bytes given), and that the tensors cover the data exactly, without holes, overlaps or a tail.
// This is what the reference reader (huggingface/safetensors, `Metadata::validate`) demands; names
// that occur twice are refused beside that. The data itself is not looked at.
class SafetensorsFile {
 public:
  // Throws LoadError "NAME: ..." or "NAME: TENSOR: ...". `name` is what messages call the file; its
  // own name when empty.
  explicit SafetensorsFile(const std::filesystem::path& path, std::string name = {});

  const std::vector<TensorView>& tensors() const { return tensors_; }  // by position in the file
  const std::string& name() const { return name_; }

  // Gives back the memory of a tensor's pages once they have been packed elsewhere. The view stays
  // valid: pages come back from the file when touched.
  void advise_dontneed(const TensorView& tensor) const {
    file_.drop_pages(tensor.data, tensor.bytes);
  }
  // See MappedFile::detach_pages.
  void detach(const TensorView& tensor) const { file_.detach_pages(tensor.data, tensor.bytes); }

 private:
  std::string name_;
  MappedFile file_;
  std::vector<TensorView> tensors_;
};

}  // namespace saccade
