#include "engine/kernels/cpu/epilogue.h"
#include "engine/kernels/cpu/isa_functions.h"
#include "engine/kernels/cpu/microkernel.h"
#include "engine/kernels/cpu/panel_tasks.h"

namespace saccade::kernels::SACCADE_ISA {
namespace {

// Rows that one task takes through a panel: they stay in the second-level cache with it.
constexpr int64_t kTaskRows = 96;
int64_t bytes_of_weight(const LinearArgs& args) {
  return args.format == WeightFormat::kFloat32 ? 4 : 2;
}

// Panels up to this size stay in the second-level cache beside the next one.
constexpr int64_t kCachedPanel = 192 * 1024;

// With more passes over each panel than this, memory keeps up with the products.
constexpr int64_t kMemoryBoundPasses = 8;

// How often the rows of one task go over a panel.
int64_t passes_over_panel(int64_t rows) {
  int64_t passes = 0;
  for_row_groups(rows, [&]<int R>(int64_t) { passes += kStripVecs / kTileVecs<R>; });
  return passes;
}

template <class Unit, typename Out>
void multiply_panel(const LinearArgs& args, int64_t panel, int64_t row_begin, int64_t row_end) {
  const int64_t element = bytes_of(args.in);
  const int64_t depth = args.padded_k * bytes_of_weight(args) / 4;  // steps in memory
  const int64_t used = (args.k * bytes_of_weight(args) + 3) / 4;    // steps that are not padding
  const int64_t x_stride = args.x_stride * element;
  const char* x = static_cast<const char*>(args.x) + row_begin * x_stride;
  const char* weight = reinterpret_cast<const char*>(args.weight) + panel * depth * kStrip * 4;
  const int64_t column = panel * kStrip;
  Out* y = static_cast<Out*>(args.y) + row_begin * args.y_stride + column;
  const int64_t panel_bytes = depth * kStrip * 4;
  const int64_t passes = passes_over_panel(row_end - row_begin);
  int64_t pass = 0;
  for_row_groups(row_end - row_begin, [&]<int R>(int64_t first) {
    constexpr int V = kTileVecs<R>;
    for (int64_t part = 0; part < min_of<int64_t>(kStrip, args.n - column); part += V * kLanes) {
      Vec sums[R][V];
      clear(sums);
      const auto run = [&](auto prefetch) {
        multiply<Unit, R, V>(x + first * x_stride, x_stride, weight + part * 4, kStrip * 4, used,
                             prefetch, sums);
      };
      if (passes > 1 && passes <= kMemoryBoundPasses && panel_bytes <= kCachedPanel) {
        run(FetchNext{weight + panel_bytes + pass * panel_bytes / passes, kStrip * 4 / passes});
      } else if (pass == 0 || panel_bytes > kCachedPanel) {
        run(StreamAhead<R, V * sizeof(Vec) / 64>(weight + part * 4, kStrip * 4));
      } else {
        run(NoPrefetch());
      }
      ++pass;
      const float* bias = args.bias == nullptr ? nullptr : args.bias + column + part;
      finish<Out, R, V>(sums, bias, y + first * args.y_stride + part, args.y_stride,
                        args.n - column - part);
      const int64_t row = row_begin + first;
      run_epilogue<Out>(args, row, row + R, column + part, V * kLanes);
    }
  });
}

template <class Unit, typename Out>
void multiply_all(const LinearArgs& args) {
  run_panel_tasks(args, kTaskRows, 1, [&] {
    return [&](int64_t panel, int64_t row_begin, int64_t row_end) {
      multiply_panel<Unit, Out>(args, panel, row_begin, row_end);
    };
  });
}

#if defined(__AVX512BF16__)
LinearArgs rows_for_bf16_weights(const LinearArgs& args) { return args; }
#else
// bf16 rows as float32, since the machine has no bf16 products; one zero behind an odd k.
LinearArgs rows_for_bf16_weights(LinearArgs args) {
  const int64_t width = (args.k + 1) / 2 * 2;
  auto* rows = static_cast<float*>(
      thread_scratch(ScratchSlot::kRows, static_cast<size_t>(args.m * width) * sizeof(float)));
#pragma omp parallel for schedule(static) if (args.m * args.k > kParallelLinearWork)
  for (int64_t row = 0; row < args.m; ++row) {
    const Bf16* from = static_cast<const Bf16*>(args.x) + row * args.x_stride;
    float* to = rows + row * width;
    to[width - 1] = 0;
    for (int64_t i = 0; i < args.k; i += kLanes) {
      const int n = static_cast<int>(min_of<int64_t>(kLanes, args.k - i));
      store_part(to + i, load_part(from + i, n), n);
    }
  }
  args.in = ElementType::kFloat32;
  args.x = rows;
  args.x_stride = width;
  return args;
}
#endif

template <class Unit>
void multiply_as(const LinearArgs& args) {
  args.out == ElementType::kFloat32 ? multiply_all<Unit, float>(args)
                                    : multiply_all<Unit, Bf16>(args);
}

}  // namespace

void linear(const LinearArgs& args) {
  if (args.format == WeightFormat::kInt8 || args.format == WeightFormat::kInt4) {
    linear_quantized(args);
  } else if (args.format == WeightFormat::kFloat32) {
    multiply_as<FloatUnit>(args);
#if defined(__AMX_BF16__)
  } else if (args.m >= kAmxRows) {
    linear_amx(args);
#endif
  } else {
    multiply_as<Bf16Unit>(rows_for_bf16_weights(args));
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
