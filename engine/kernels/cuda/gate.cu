#include "engine/kernels/cuda/device_math.cuh"
#include "engine/kernels/cuda/kernels.h"

namespace saccade::kernels::cuda {
namespace {

__device__ float activated(Activation activation, float x) {
  constexpr float kRootHalf = 0.70710678118654752f, kRootTwoOverPi = 0.7978845608028654f;
  switch (activation) {
    case Activation::kGelu:
      return 0.5f * x * erfcf(-x * kRootHalf);
    case Activation::kGeluTanh:
      return 0.5f * x * (1.0f + tanhf(kRootTwoOverPi * (x + 0.044715f * x * x * x)));
    case Activation::kQuickGelu:
      return x / (1.0f + expf(-1.702f * x));
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kSilu:
      return x / (1.0f + expf(-x));
    default:
      return x;  // kNone; the others have no kernel
  }
}

// Block (row, piece of the width).
template <typename T, int N>
__global__ void gate_kernel(Activation activation, int64_t width, const T* gate_up,
                            int64_t gate_up_stride, T* out, int64_t out_stride) {
  let_next_start();
  wait_for_previous();
  const int64_t row = blockIdx.x;
  const int64_t i = (int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * N;
  if (i >= width) return;
  const Pack<T, N> x = load<T, N>(gate_up + row * gate_up_stride + i);
  const Pack<T, N> up = load<T, N>(gate_up + row * gate_up_stride + width + i);
  Pack<T, N> result;
  for (int j = 0; j < N; ++j) {
    const float opened = to_float(rounded<T>(activated(activation, to_float(x.values[j]))));
    result.values[j] = rounded<T>(opened * to_float(up.values[j]));
  }
  store<T, N>(out + row * out_stride + i, result);
}

template <typename T, int N>
void run_rows(Activation activation, int64_t rows, int64_t width, const T* gate_up,
              int64_t gate_up_stride, T* out, int64_t out_stride, Stream stream) {
  constexpr int kThreads = 256;
  const int64_t pieces = (width / N + kThreads - 1) / kThreads;
  const dim3 grid(static_cast<unsigned>(rows), static_cast<unsigned>(pieces));
  launch("gate_mul", gate_kernel<T, N>, {grid, kThreads}, stream, activation, width, gate_up,
         gate_up_stride, out, out_stride);
}

}  // namespace

void gate_mul(Activation activation, ElementType type, int64_t rows, int64_t width,
              const void* gate_up, int64_t gate_up_stride, void* out, int64_t out_stride,
              Stream stream) {
  if (rows == 0) return;
  with_element(type == ElementType::kFloat32, [&](auto element) {
    using T = decltype(element);
    constexpr int kN = kWide<T>;
    const auto* from = static_cast<const T*>(gate_up);
    auto* to = static_cast<T*>(out);
    const bool wide = width % kN == 0 && gate_up_stride % kN == 0 && out_stride % kN == 0 &&
                      is_aligned(from) && is_aligned(to);
    const auto run = wide ? run_rows<T, kN> : run_rows<T, 1>;
    run(activation, rows, width, from, gate_up_stride, to, out_stride, stream);
  });
}

}  // namespace saccade::kernels::cuda
