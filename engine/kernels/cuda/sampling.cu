#include "engine/kernels/cuda/device_math.cuh"
#include "engine/kernels/cuda/kernels.h"

namespace saccade::kernels::cuda {
namespace {

constexpr int kThreads = 1024;

struct Best {
  float value;
  int id;
};

// The larger of two, of equals the smaller id; NaN wins, so that it is noticed. An id below 0 is
// nothing yet.
__device__ Best better(Best a, Best b) {
  if (isnan(a.value) != isnan(b.value)) return isnan(a.value) ? a : b;
  if (b.id >= 0 && (a.id < 0 || b.value > a.value || (b.value == a.value && b.id < a.id))) return b;
  return a;
}

__device__ Best best_of_warp(Best best) {
  for (int distance = 16; distance > 0; distance /= 2) {
    const Best other{__shfl_xor_sync(0xffffffffu, best.value, distance),
                     __shfl_xor_sync(0xffffffffu, best.id, distance)};
    best = better(best, other);
  }
  return best;
}

// Block (row); kN logits are read at a time.
template <typename T, int kN>
__global__ void argmax_kernel(int64_t vocab, const T* logits, int32_t* ids, float* values) {
  __shared__ Best warps[kThreads / 32];
  let_next_start();
  wait_for_previous();
  const T* row = logits + blockIdx.x * vocab;
  Best best{0, -1};
  const int from = static_cast<int>(vocab) / kN * kN;  // the rest one by one
  for (int i = threadIdx.x * kN; i < from; i += kThreads * kN) {
    const Pack<T, kN> pack = load<T, kN>(row + i);
#pragma unroll
    for (int j = 0; j < kN; ++j) best = better(best, {to_float(pack.values[j]), i + j});
  }
  for (int i = from + threadIdx.x; i < vocab; i += kThreads) {
    best = better(best, {to_float(row[i]), i});
  }
  best = best_of_warp(best);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  best = best_of_warp(warps[threadIdx.x]);
  if (threadIdx.x == 0) {
    ids[blockIdx.x] = best.id;
    values[blockIdx.x] = best.value;
  }
}

}  // namespace

void argmax(ElementType type, int64_t rows, int64_t vocab, const void* logits, int32_t* ids,
            float* values, Stream stream) {
  if (rows == 0) return;
  with_element(type == ElementType::kFloat32, [&](auto element) {
    using T = decltype(element);
    const bool wide = vocab % kWide<T> == 0 && is_aligned(logits);
    const auto kernel = wide ? argmax_kernel<T, kWide<T>> : argmax_kernel<T, 1>;
    launch("argmax", kernel, {dim3(static_cast<unsigned>(rows)), kThreads}, stream, vocab,
           static_cast<const T*>(logits), ids, values);
  });
}

}  // namespace saccade::kernels::cuda
