#include "engine/weights/tensor_view.h"

#include <algorithm>
#include <array>

namespace saccade {
namespace {

struct DtypeInfo {
  TensorDtype dtype;
  std::string_view name;
  size_t bytes;
  int block = 1;
};

constexpr std::array kDtypes = {
    DtypeInfo{TensorDtype::kBool, "BOOL", 1},
    DtypeInfo{TensorDtype::kU8, "U8", 1},
    DtypeInfo{TensorDtype::kI8, "I8", 1},
    DtypeInfo{TensorDtype::kF8E4M3, "F8_E4M3", 1},
    DtypeInfo{TensorDtype::kF8E5M2, "F8_E5M2", 1},
    DtypeInfo{TensorDtype::kF8E8M0, "F8_E8M0", 1},
    DtypeInfo{TensorDtype::kI16, "I16", 2},
    DtypeInfo{TensorDtype::kU16, "U16", 2},
    DtypeInfo{TensorDtype::kF16, "F16", 2},
    DtypeInfo{TensorDtype::kBF16, "BF16", 2},
    DtypeInfo{TensorDtype::kI32, "I32", 4},
    DtypeInfo{TensorDtype::kU32, "U32", 4},
    DtypeInfo{TensorDtype::kF32, "F32", 4},
    DtypeInfo{TensorDtype::kI64, "I64", 8},
    DtypeInfo{TensorDtype::kU64, "U64", 8},
    DtypeInfo{TensorDtype::kF64, "F64", 8},
    DtypeInfo{TensorDtype::kC64, "C64", 8},
    DtypeInfo{TensorDtype::kQ4_0, "Q4_0", 18, 32},
    DtypeInfo{TensorDtype::kQ4_1, "Q4_1", 20, 32},
    DtypeInfo{TensorDtype::kQ5_0, "Q5_0", 22, 32},
    DtypeInfo{TensorDtype::kQ5_1, "Q5_1", 24, 32},
    DtypeInfo{TensorDtype::kQ8_0, "Q8_0", 34, 32},
    DtypeInfo{TensorDtype::kQ4_K, "Q4_K", 144, 256},
    DtypeInfo{TensorDtype::kQ5_K, "Q5_K", 176, 256},
    DtypeInfo{TensorDtype::kQ6_K, "Q6_K", 210, 256},
};

const DtypeInfo& info_of(TensorDtype dtype) {
  return *std::find_if(kDtypes.begin(), kDtypes.end(),
                       [dtype](const DtypeInfo& info) { return info.dtype == dtype; });
}

}  // namespace

int block_of(TensorDtype dtype) { return info_of(dtype).block; }
size_t bytes_of(TensorDtype dtype) { return info_of(dtype).bytes; }
std::string_view name_of(TensorDtype dtype) { return info_of(dtype).name; }

std::optional<TensorDtype> plain_dtype(std::string_view name) {
  for (const DtypeInfo& info : kDtypes) {
    if (info.block == 1 && info.name == name) return info.dtype;
  }
  return std::nullopt;
}

int64_t TensorView::elements() const {
  return static_cast<int64_t>(bytes / bytes_of(dtype)) * block_of(dtype);
}

int64_t TensorView::stored_row(int64_t row) const {
  if (interleaved_heads == 0) return row;
  const int64_t head_dim = shape.front() / interleaved_heads;
  const int64_t inside = row % head_dim;
  const int64_t half = head_dim / 2;
  return row - inside + inside % half * 2 + inside / half;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  constexpr size_t kShown = 8;
  std::string out = "[";
  for (size_t i = 0; i < shape.size() && i < kShown; ++i) {
    if (i > 0) out += ", ";
    out += std::to_string(shape[i]);
  }
  return out + (shape.size() > kShown ? ", ...]" : "]");
}

}  // namespace saccade
