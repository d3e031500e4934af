// bf16 linear layers through AMX tiles. Compiled for the instruction set `amx` alone.
#include "engine/kernels/cpu/amx_tiles.h"
#include "engine/kernels/cpu/epilogue.h"
#include "engine/kernels/cpu/isa_functions.h"
#include "engine/kernels/cpu/panel_tasks.h"

namespace saccade::kernels::SACCADE_ISA {
namespace {

constexpr int kPairBytes = kBlockColumns * 4;  // of one pair of k in a panel
constexpr int kBlockRows = 2 * kTileSide;
// Rows that one task takes through a panel.
constexpr int64_t kTaskRows = 128;

// y = sums [rows, 32] + bias, of which `columns` (<= 32) exist.
template <typename Out>
void finish(const float* sums, int64_t rows, const float* bias, Out* y, int64_t y_stride,
            int64_t columns) {
  for (int v = 0; v < kBlockColumns / kLanes; ++v) {
    const int n = static_cast<int>(min_of<int64_t>(kLanes, columns - v * kLanes));
    if (n <= 0) break;
    const Vec offset = bias == nullptr ? splat(0) : load_part(bias + v * kLanes, n);
    for (int64_t r = 0; r < rows; ++r) {
      const Vec sum = load(sums + r * kBlockColumns + v * kLanes);
      store_part(y + r * y_stride + v * kLanes, sum + offset, n);
    }
  }
}

template <typename Out>
void multiply_panel(const LinearArgs& args, int64_t panel, int64_t begin, int64_t end,
                    AmxTiles& tiles) {
  alignas(64) float sums[kBlockRows * kBlockColumns];
  const int64_t depth = args.padded_k / 2;
  const int64_t x_stride = args.x_stride * 2;
  const char* w = reinterpret_cast<const char*>(args.weight) + panel * depth * kPairBytes;
  const int64_t column = panel * kBlockColumns;
  const float* bias = args.bias == nullptr ? nullptr : args.bias + column;
  for (int64_t row = begin; row < end; row += kBlockRows) {
    const int64_t rows = min_of<int64_t>(kBlockRows, end - row);
    tiles.multiply(static_cast<const char*>(args.x) + row * x_stride, x_stride, rows, w, kPairBytes,
                   depth, sums, kBlockColumns, false);
    finish(sums, rows, bias, static_cast<Out*>(args.y) + row * args.y_stride + column,
           args.y_stride, args.n - column);
    run_epilogue<Out>(args, row, row + rows, column, kBlockColumns);
  }
}

template <typename Out>
void multiply_all(const LinearArgs& args) {
  run_panel_tasks(args, kTaskRows, kBlockRows, [&] {
    return [&args, tiles = AmxTiles()](int64_t panel, int64_t begin, int64_t end) mutable {
      multiply_panel<Out>(args, panel, begin, end, tiles);
    };
  });
}

}  // namespace

void linear_amx(const LinearArgs& args) {
  args.out == ElementType::kFloat32 ? multiply_all<float>(args) : multiply_all<Bf16>(args);
}

}  // namespace saccade::kernels::SACCADE_ISA
