#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/weights/mapped_file.h"

namespace saccade {

enum class TensorDtype {
  kBool,
  kU8,
  kI8,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kI64,
  kU64,
  kF64,
  kC64,  // complex, two float32
};

size_t bytes_of(TensorDtype dtype);
std::string_view name_of(TensorDtype dtype);  // as the file spells it: "BF16"

// A tensor inside a mapped file; valid while the file's SafetensorsFile lives.
struct TensorView {
  std::string name;
  TensorDtype dtype = TensorDtype::kF32;
  std::vector<int64_t> shape;  // row-major; empty for a scalar; sides may be 0
  // Not aligned to the element: headers have any length. Read through memcpy or unaligned loads.
  const std::byte* data = nullptr;
  size_t bytes = 0;
};

std::string shape_text(const std::vector<int64_t>& shape);  // "[2, 3]"

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

 private:
  std::string name_;
  MappedFile file_;
  std::vector<TensorView> tensors_;
};

}  // namespace saccade
