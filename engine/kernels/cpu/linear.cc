#include "engine/kernels/cpu/isa_functions.h"
#include "engine/kernels/cpu/microkernel.h"

namespace saccade::kernels::SACCADE_ISA {
namespace {

// Rows that one task takes through a panel: they stay in the second-level cache with it.
constexpr int64_t kTaskRows = 96;
// Multiplications below which a parallel region costs more than it brings.
constexpr int64_t kParallelWork = 1 << 16;

// sums + bias -> y, of which `columns` (<= 32) exist.
template <typename Out, int R>
inline void finish(Vec (&sums)[R][kStripVecs], const float* bias, Out* y, int64_t y_stride,
                   int64_t columns) {
  for (int v = 0; v < kStripVecs; ++v) {
    const int n = static_cast<int>(min_of<int64_t>(kLanes, columns - v * kLanes));
    if (n <= 0) break;
    const Vec offset = bias == nullptr ? splat(0) : load_part(bias + v * kLanes, n);
    for (int r = 0; r < R; ++r) store_part(y + r * y_stride + v * kLanes, sums[r][v] + offset, n);
  }
}

template <class Unit, typename Out>
void multiply_panel(const LinearArgs& args, int64_t panel, int64_t row_begin, int64_t row_end) {
  const int64_t element = args.type == ElementType::kFloat32 ? 4 : 2;
  const int64_t depth = args.padded_k * element / 4;  // steps in memory
  const int64_t used = (args.k * element + 3) / 4;    // steps that are not padding
  const int64_t x_stride = args.x_stride * element;
  const char* x = static_cast<const char*>(args.x) + row_begin * x_stride;
  const char* weight = reinterpret_cast<const char*>(args.weight) + panel * depth * kStrip * 4;
  const int64_t column = panel * kStrip;
  const float* bias = args.bias == nullptr ? nullptr : args.bias + column;
  Out* y = static_cast<Out*>(args.y) + row_begin * args.y_stride + column;
  for_row_groups(row_end - row_begin, [&]<int R>(int64_t first) {
    Vec sums[R][kStripVecs] = {};
    multiply<Unit, R>(x + first * x_stride, x_stride, weight, kStrip * 4, used, sums);
    finish<Out, R>(sums, bias, y + first * args.y_stride, args.y_stride, args.n - column);
  });
}

template <class Unit, typename Out>
void multiply_all(const LinearArgs& args) {
  const int64_t panels = (args.n + kStrip - 1) / kStrip;
  const int64_t chunks = (args.m + kTaskRows - 1) / kTaskRows;
  // Neighbouring tasks share a panel, so that each thread reads each of its panels once.
#pragma omp parallel for schedule(static) if (args.m * args.n * args.k > kParallelWork)
  for (int64_t task = 0; task < panels * chunks; ++task) {
    const int64_t chunk = task % chunks;
    multiply_panel<Unit, Out>(args, task / chunks, args.m * chunk / chunks,
                              args.m * (chunk + 1) / chunks);
  }
}

}  // namespace

void linear(const LinearArgs& args) {
  if (args.type == ElementType::kFloat32) {
    multiply_all<FloatUnit, float>(args);
#if defined(__AMX_BF16__)
  } else if (args.m >= kAmxRows) {
    linear_amx(args);
#endif
  } else if (args.out == ElementType::kFloat32) {
    multiply_all<PairUnit, float>(args);
  } else {
    multiply_all<PairUnit, Bf16>(args);
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
