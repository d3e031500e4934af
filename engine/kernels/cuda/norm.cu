#include "engine/kernels/cuda/device_math.cuh"
#include "engine/kernels/cuda/kernels.h"

namespace saccade::kernels::cuda {
namespace {

template <typename T, typename W>
struct Rows {
  const T* x;
  T* residual;  // with `delta`: the sum's place, read instead of x
  const T* delta;
  const W* weight;
  T* out;
  int64_t x_stride, residual_stride, delta_stride, out_stride;
  int width;
  float eps;
};

// One block normalises one piece of one row: block (row, head). N elements at a time.
template <typename T, typename W, int N, bool kAdd>
__global__ void norm_kernel(const Rows<T, W> rows) {
  let_next_start();
  wait_for_previous();
  const int64_t row = blockIdx.x;
  const int64_t head = int64_t{blockIdx.y} * rows.width;
  const T* x =
      kAdd ? rows.residual + row * rows.residual_stride : rows.x + row * rows.x_stride + head;
  float squares = 0;
  for (int i = threadIdx.x * N; i < rows.width; i += blockDim.x * N) {
    Pack<T, N> pack = load<T, N>(x + i);
    if constexpr (kAdd) {
      const Pack<T, N> delta = load<T, N>(rows.delta + row * rows.delta_stride + i);
      for (int j = 0; j < N; ++j) {
        pack.values[j] = rounded<T>(to_float(pack.values[j]) + to_float(delta.values[j]));
      }
      store<T, N>(rows.residual + row * rows.residual_stride + i, pack);
    }
    for (int j = 0; j < N; ++j) {
      const float value = to_float(pack.values[j]);
      squares += value * value;
    }
  }
  const float scale = 1.0f / sqrtf(sum_over_block(squares) / rows.width + rows.eps);
  T* out = rows.out + row * rows.out_stride + head;
  // Each thread reads again what it has read or written above.
  for (int i = threadIdx.x * N; i < rows.width; i += blockDim.x * N) {
    const Pack<T, N> pack = load<T, N>(x + i);
    Pack<T, N> result;
    for (int j = 0; j < N; ++j) {
      const float normal = to_float(pack.values[j]) * scale;
      const float weight = to_float(rows.weight[i + j]);
      const bool round_twice = sizeof(W) == sizeof(T);
      result.values[j] = rounded<T>(weight * (round_twice ? to_float(rounded<T>(normal)) : normal));
    }
    store<T, N>(out + i, result);
  }
}

template <typename T, typename W, bool kAdd>
void run_rows(const Rows<T, W>& rows, int64_t count, int heads, Stream stream) {
  if (count == 0) return;
  const dim3 grid(static_cast<unsigned>(count), static_cast<unsigned>(heads));
  constexpr int kN = kWide<T>;
  const bool wide = rows.width % kN == 0 && rows.out_stride % kN == 0 && is_aligned(rows.out) &&
                    (kAdd ? rows.residual_stride % kN == 0 && rows.delta_stride % kN == 0 &&
                                is_aligned(rows.residual) && is_aligned(rows.delta)
                          : rows.x_stride % kN == 0 && is_aligned(rows.x));
  const int pieces = wide ? rows.width / kN : rows.width;
  const int threads = pieces <= 32 ? 32 : pieces <= 128 ? 128 : pieces <= 256 ? 256 : 512;
  const auto kernel = wide ? norm_kernel<T, W, kN, kAdd> : norm_kernel<T, W, 1, kAdd>;
  launch("rms_norm", kernel, {grid, threads}, stream, rows);
}

template <typename T, typename W>
void run(const RmsNormArgs& args, int heads, void* residual, int64_t residual_stride,
         const void* delta, int64_t delta_stride, Stream stream) {
  const Rows<T, W> rows{static_cast<const T*>(args.x),
                        static_cast<T*>(residual),
                        static_cast<const T*>(delta),
                        static_cast<const W*>(args.weight),
                        static_cast<T*>(args.out),
                        args.x_stride,
                        residual_stride,
                        delta_stride,
                        args.out_stride,
                        static_cast<int>(args.width),
                        args.eps};
  if (residual != nullptr) {
    run_rows<T, W, true>(rows, args.rows, 1, stream);
  } else {
    run_rows<T, W, false>(rows, args.rows, heads, stream);
  }
}

void dispatch(const RmsNormArgs& args, int heads, void* residual, int64_t residual_stride,
              const void* delta, int64_t delta_stride, Stream stream) {
  with_element(args.type == ElementType::kFloat32, [&](auto element) {
    using T = decltype(element);
    if (args.wide_weight) {
      run<T, float>(args, heads, residual, residual_stride, delta, delta_stride, stream);
    } else {
      run<T, T>(args, heads, residual, residual_stride, delta, delta_stride, stream);
    }
  });
}

}  // namespace

void rms_norm(const RmsNormArgs& args, Stream stream) { rms_norm_heads(args, 1, stream); }

void rms_norm_heads(const RmsNormArgs& args, int heads, Stream stream) {
  dispatch(args, heads, nullptr, 0, nullptr, 0, stream);
}

void add_rms_norm(const RmsNormArgs& args, void* residual, int64_t residual_stride,
                  const void* delta, int64_t delta_stride, Stream stream) {
  dispatch(args, 1, residual, residual_stride, delta, delta_stride, stream);
}

}  // namespace saccade::kernels::cuda
