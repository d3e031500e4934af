#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels/activation.h"
#include "engine/kernels/element.h"
#include "engine/kernels/epilogue.h"
#include "engine/kernels/norm.h"
#include "engine/kernels/paged_attention.h"
#include "engine/kernels/rope.h"
#include "engine/kernels/sampling.h"
#include "engine/kernels/weight_format.h"

namespace saccade::kernels {

// With AMX, bf16 calls of at least this many rows go through tiles; x must then be padded to
// padded_k.
inline constexpr int64_t kAmxRows = 8;

// A packed weight and the rows to multiply it with; see packed_linear.h.
struct LinearArgs {
  WeightFormat format;
  ElementType in;   // of x
  ElementType out;  // of y
  int64_t m;
  int64_t n;
  int64_t k;
  int64_t padded_k;  // rows (of pairs: times two) of a panel
  const void* x;
  int64_t x_stride;
  const std::byte* weight;
  const float* bias;
  void* y;
  int64_t y_stride;
  Epilogue epilogue;
};

// One compilation of the kernels. The sources compiled per instruction set (kernels_*.cc) include
// no standard library templates: the linker would keep one instance of each for all sets.
struct KernelTable {
  void (*paged_attention)(const PagedAttentionArgs&);
  void (*rope_and_write_kv)(const RopeArgs&);
  void (*rms_norm)(const RmsNormArgs&);
  void (*rms_norm_heads)(const RmsNormArgs&, int);
  void (*add_rms_norm)(const RmsNormArgs&, void*, int64_t, const void*, int64_t);
  void (*activate)(Activation, ElementType, int64_t, int64_t, const void*, int64_t, void*, int64_t);
  void (*gate_mul)(Activation, ElementType, int64_t, int64_t, const void*, int64_t, void*, int64_t);
  void (*linear)(const LinearArgs&);
  float (*max_value)(const float*, int64_t);
  float (*log_sum_exp)(const float*, int64_t);
  void (*softmax_weights)(const float*, float, float, const TokenWeights&);
  WeightMass (*mass_at_least)(const TokenWeights&, float);
  void (*drop_below)(const TokenWeights&, float);
};

namespace baseline {
extern const KernelTable kTable;
}
namespace avx2 {
extern const KernelTable kTable;
}
namespace avx512 {
extern const KernelTable kTable;
}
namespace avx512_bf16 {
extern const KernelTable kTable;
}
namespace amx {  // the process must hold the permission for tile data
extern const KernelTable kTable;
}

// The kernels of active_isa().
const KernelTable& kernel_table();

// Bytes of a panel of 32 columns for one group of inputs in the integer formats.
constexpr int64_t quant_block_bytes(WeightFormat format) {
  constexpr int64_t kColumns = 32, kScales = 2 * kColumns;
  return format == WeightFormat::kInt8 ? kScales + kQuantGroup * kColumns
                                       : 2 * kScales + kQuantGroup * kColumns / 2;
}

enum class ScratchSlot {
  kQueries,
  kScores,
  kOutput,
  kKeys,
  kValues,
  kWidened,
  kPartials,
  kTasks,
  kRanges,
  kRows,
  kCount
};

// Memory of the calling thread, 64-byte aligned, kept for its next call with the same slot. Its
// content is undefined.
void* thread_scratch(ScratchSlot slot, size_t bytes);

}  // namespace saccade::kernels
