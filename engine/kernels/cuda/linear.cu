#include <algorithm>

#include "engine/kernels/cuda/kernels.h"
#include "engine/kernels/cuda/linear_few_rows.cuh"

namespace saccade::kernels::cuda {

bool are_few_rows(int64_t rows, int64_t in) {
  // Every block reads all of x for each of its outputs: that must stay near it.
  constexpr int64_t kFewInputs = 48 << 10;
  return rows >= 1 && rows <= kFewRows && rows * in <= kFewInputs && kLinearSmem <= shared_memory();
}

void linear_few_rows(int rows, int64_t in, int64_t out, const void* x, const void* weight,
                     const void* bias, void* y, Stream stream) {
  static_assert(kFewRows <= kTokens);
  allow_smem<few_rows_kernel, kLinearSmem>();
  const int64_t tiles = (out + kOutputs - 1) / kOutputs;
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(tiles, multiprocessors()));
  launch("linear_few_rows", few_rows_kernel, {dim3(blocks), kLinearWarps * 32, kLinearSmem}, stream,
         rows, in, out, static_cast<const Bf16*>(x), static_cast<const Bf16*>(weight),
         static_cast<const Bf16*>(bias), static_cast<Bf16*>(y));
}

int64_t free_memory() {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "the GPU's memory");
  return static_cast<int64_t>(free);
}

}  // namespace saccade::kernels::cuda
