#pragma once

#include "engine/kernels/cpu/activated.h"
#include "engine/kernels/cpu/kernel_table.h"

namespace saccade::kernels::SACCADE_ISA {

// The epilogue of a linear layer on rows [begin, end) and columns [column, column + count) of its
// outputs, which have just been stored.
template <typename Out>
static inline void run_epilogue(const LinearArgs& args, int64_t begin, int64_t end, int64_t column,
                                int64_t count) {
  const Epilogue& epilogue = args.epilogue;
  if (epilogue.activation == Activation::kNone && epilogue.residual == nullptr) return;
  count = min_of<int64_t>(count, args.n - column);
  Out* y = static_cast<Out*>(args.y) + column;
  if (epilogue.activation != Activation::kNone) {
    with_activation(epilogue.activation, [&]<Activation A>() {
      for (int64_t row = begin; row < end; ++row) {
        activate_row<A>(y + row * args.y_stride, y + row * args.y_stride, count);
      }
    });
  }
  if (epilogue.residual == nullptr) return;
  const Out* residual = static_cast<const Out*>(epilogue.residual) + column;
  for (int64_t row = begin; row < end; ++row) {
    const Out* from = residual + row * epilogue.residual_stride;
    Out* to = y + row * args.y_stride;
    for_vectors(count, [&](int64_t i, int n) {
      store_part(to + i, load_part(from + i, n) + load_part(to + i, n), n);
    });
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
