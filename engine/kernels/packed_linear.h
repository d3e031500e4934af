#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/kernels/element.h"
#include "engine/kernels/epilogue.h"
#include "engine/kernels/weight_format.h"

namespace saccade::kernels {

struct QuantizedRows;

// y = x W^T + bias with W packed once. Layouts, all in panels of 32 output columns, zero-padded:
//   bf16     [n / 32][k / 2][32][2]: pairs of k side by side, for bf16 dot products and AMX tiles
//   float32  [n / 32][k][32]
//   int8     [n / 32][k / 32]{float16 scale[32]; int8 q[8][32][4]}
//   int4     [n / 32][k / 32]{float16 scale[32], min[32]; uint8 q[4][32][4]}: the low half of a
//            byte [s][column][i] is input 4 s + i of the group, the high half input 16 + 4 s + i
// Sums run over k in ascending order whatever m is, so that a row's result does not depend on the
// rows beside it. One exception: bf16 on AMX machines, where calls with at least 8 rows use
// tiles, which round differently in float32; bf16 results may then differ in the last place.
//
// The integer formats round each group of 32 values of x to int8 with a scale of its own, and
// multiply integers: exact, so the same on every instruction set but for the order of a few
// float32 sums.
class PackedLinear {
 public:
  static constexpr int kPanel = 32;

  // w [n, k] row-major of `type`; it may be unaligned (a view into a file). Packs with all threads.
  // A bf16 weight is packed as bf16 or rounded to integers, a float32 one as float32 or the same.
  static PackedLinear pack(const void* w, ElementType type, int64_t n, int64_t k,
                           WeightFormat format);
  // The same of a weight that is rounded already: nothing is rounded again.
  static PackedLinear pack(const QuantizedRows& rows);

  // x [m, k] of type `in`, rows x_stride elements apart; bias [n] or nullptr; y [m, n] of type
  // `out`, rows y_stride elements apart. float32 weights take and give float32 only, bf16 weights
  // take bf16 only.
  void run(const void* x, ElementType in, int64_t x_stride, int64_t m, const float* bias, void* y,
           int64_t y_stride, ElementType out, const Epilogue& epilogue = {}) const;

  WeightFormat format() const { return format_; }
  int64_t out_features() const { return n_; }
  int64_t in_features() const { return k_; }
  size_t bytes() const;  // memory of the packed weight

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  PackedLinear(WeightFormat format, int64_t n, int64_t k);
  int64_t panel_bytes() const;

  WeightFormat format_;
  int64_t n_;
  int64_t k_;
  int64_t padded_k_;  // bf16: a multiple of 32, one AMX tile deep; int8, int4: of kQuantGroup
  std::unique_ptr<std::byte, Free> data_;
};

}  // namespace saccade::kernels
