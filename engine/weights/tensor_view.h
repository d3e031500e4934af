#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  // Blocks of rounded values, of GGUF files only (gguf_blocks.h).
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K,
};

// Values that are stored together: 1 but for the block formats.
int block_of(TensorDtype dtype);
size_t bytes_of(TensorDtype dtype);           // of a block
std::string_view name_of(TensorDtype dtype);  // as files spell it: "BF16", "Q4_K"
// By its name in a safetensors file, which knows no blocks.
std::optional<TensorDtype> plain_dtype(std::string_view name);

// A tensor inside a mapped file; valid while the file's object lives.
struct TensorView {
  std::string name;
  TensorDtype dtype = TensorDtype::kF32;
  std::vector<int64_t> shape;  // row-major; empty for a scalar; sides may be 0
  // Not aligned to the element: headers have any length. Read through memcpy or unaligned loads.
  const std::byte* data = nullptr;
  size_t bytes = 0;
  // > 0: the rows are those of so many heads, each with dimension i beside i + half a head
  // (rotary positions of neighbours) instead of the halves one after the other.
  int interleaved_heads = 0;

  int64_t elements() const;
  // Where the file has row `row` of the tensor as the model reads it.
  int64_t stored_row(int64_t row) const;
};

std::string shape_text(const std::vector<int64_t>& shape);  // "[2, 3]"

}  // namespace saccade
