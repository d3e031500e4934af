#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/kernels/element.h"

namespace saccade::kernels {

// y = x W^T + bias with W packed once. Layouts, both in panels of 32 output columns, zero-padded:
//   bf16     [n / 32][k / 2][32][2]: pairs of k side by side, for bf16 dot products and AMX tiles
//   float32  [n / 32][k][32]
// Sums run over k in ascending order whatever m is, so that a row's result does not depend on the
// rows beside it. One exception: bf16 on AMX machines, where calls with at least 8 rows use
// tiles, which round differently in float32; bf16 results may then differ in the last place.
class PackedLinear {
 public:
  static constexpr int kPanel = 32;

  // w [n, k] row-major; it may be unaligned (a view into a file). Packs with all threads.
  static PackedLinear pack_bf16(const void* w, int64_t n, int64_t k);
  static PackedLinear pack_f32(const void* w, int64_t n, int64_t k);

  // x [m, k] of the weight's type, rows x_stride elements apart; bias [n] or nullptr; y [m, n] of
  // type `out`, rows y_stride elements apart. float32 weights give float32 only.
  void run(const void* x, int64_t x_stride, int64_t m, const float* bias, void* y, int64_t y_stride,
           ElementType out) const;

  ElementType type() const { return type_; }
  int64_t out_features() const { return n_; }
  int64_t in_features() const { return k_; }
  size_t bytes() const;  // memory of the packed weight

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  PackedLinear(ElementType type, int64_t n, int64_t k);

  ElementType type_;
  int64_t n_;
  int64_t k_;
  int64_t padded_k_;  // bf16: a multiple of 32, one AMX tile deep
  std::unique_ptr<std::byte, Free> data_;
};

}  // namespace saccade::kernels
