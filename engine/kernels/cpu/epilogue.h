#pragma once

#include "engine/kernels/cpu/activated.h"
#include "engine/kernels/cpu/kernel_table.h"

namespace saccade::kernels::SACCADE_ISA {

// The epilogue of a linear layer on rows [begin, end) and columns [column, column + count) of its
// outputs, which one task has just stored.
template <typename Out>
static inline void run_epilogue(const LinearArgs& args, int64_t begin, int64_t end, int64_t column,
                                int64_t count) {
  const Epilogue& epilogue = args.epilogue;
  if (epilogue.activation == Activation::kNone && epilogue.residual == nullptr) return;
  count = min_of<int64_t>(count, args.n - column);
  for (int64_t row = begin; row < end; ++row) {
    Out* y = static_cast<Out*>(args.y) + row * args.y_stride + column;
    if (epilogue.activation != Activation::kNone) activate_row(epilogue.activation, y, y, count);
    if (epilogue.residual == nullptr) continue;
    const Out* residual =
        static_cast<const Out*>(epilogue.residual) + row * epilogue.residual_stride + column;
    for (int64_t i = 0; i < count; i += kLanes) {
      const int n = static_cast<int>(min_of<int64_t>(kLanes, count - i));
      store_part(y + i, load_part(residual + i, n) + load_part(y + i, n), n);
    }
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
