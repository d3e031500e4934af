// bf16 linear layers through AMX tiles. Compiled with the flags of AVX512-BF16 and AMX.
#include "engine/kernels/cpu/kernel_table.h"

#define SACCADE_ISA amx
#include "engine/kernels/cpu/simd.h"

namespace saccade::kernels::amx {
namespace {

constexpr int kTile = 16;         // rows of a tile of x or y; columns of a tile of w or y
constexpr int kDepth = 32;        // bf16 of k in a tile
constexpr int kPanel = 32;        // columns: two tiles
constexpr int kPanelBytes = 128;  // of one pair of k
constexpr int64_t kTaskRows = 128;
constexpr int64_t kParallelWork = 1 << 16;

// Tiles 0-3: sums (first rows x first and second columns, second rows x ..), 4-5: x, 6-7: w.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// `first` and `second`: rows of x in tiles 4 and 5; second may be 0.
void configure(int first, int second) {
  TileConfig config;
  const int rows[8] = {first, first, second, second, first, second, kTile, kTile};
  for (int i = 0; i < 8; ++i) {
    config.rows[i] = static_cast<uint8_t>(rows[i]);
    config.row_bytes[i] = rows[i] > 0 ? 64 : 0;
  }
  _tile_loadconfig(&config);
}

// y tile rows: sums [rows][32] + bias.
template <typename Out>
void finish(const float* sums, int rows, const float* bias, Out* y, int64_t y_stride,
            int64_t columns) {
  for (int v = 0; v < kPanel / kLanes; ++v) {
    const int n = static_cast<int>(min_of<int64_t>(kLanes, columns - v * kLanes));
    if (n <= 0) break;
    const Vec offset = bias == nullptr ? splat(0) : load_part(bias + v * kLanes, n);
    for (int r = 0; r < rows; ++r) {
      store_part(y + r * y_stride + v * kLanes, load(sums + r * kPanel + v * kLanes) + offset, n);
    }
  }
}

void multiply_two(const char* x, int64_t x_stride, const char* w, int64_t steps, float* sums) {
  const char* second = x + kTile * x_stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t step = 0; step < steps; ++step) {
    _tile_loadd(4, x + step * 64, x_stride);
    _tile_loadd(6, w, kPanelBytes);
    _tile_loadd(7, w + 64, kPanelBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, second + step * 64, x_stride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    w += kTile * kPanelBytes;
  }
  _tile_stored(0, sums, kPanel * 4);
  _tile_stored(1, sums + kTile, kPanel * 4);
  _tile_stored(2, sums + kTile * kPanel, kPanel * 4);
  _tile_stored(3, sums + kTile * kPanel + kTile, kPanel * 4);
}

void multiply_one(const char* x, int64_t x_stride, const char* w, int64_t steps, float* sums) {
  _tile_zero(0);
  _tile_zero(1);
  for (int64_t step = 0; step < steps; ++step) {
    _tile_loadd(4, x + step * 64, x_stride);
    _tile_loadd(6, w, kPanelBytes);
    _tile_loadd(7, w + 64, kPanelBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    w += kTile * kPanelBytes;
  }
  _tile_stored(0, sums, kPanel * 4);
  _tile_stored(1, sums + kTile, kPanel * 4);
}

template <typename Out>
void multiply_panel(const LinearArgs& args, int64_t panel, int64_t row_begin, int64_t row_end) {
  alignas(64) float sums[2 * kTile * kPanel];
  const int64_t steps = args.padded_k / kDepth;
  const int64_t x_stride = args.x_stride * 2;
  const char* w = reinterpret_cast<const char*>(args.weight) + panel * args.padded_k * kPanel * 2;
  const int64_t column = panel * kPanel;
  const float* bias = args.bias == nullptr ? nullptr : args.bias + column;
  int configured_first = 0;
  int configured_second = 0;
  for (int64_t row = row_begin; row < row_end;) {
    const int first = static_cast<int>(min_of<int64_t>(kTile, row_end - row));
    const int second = static_cast<int>(min_of<int64_t>(kTile, row_end - row - first));
    if (first != configured_first || second != configured_second) {
      configure(first, second);
      configured_first = first;
      configured_second = second;
    }
    const char* x = static_cast<const char*>(args.x) + row * x_stride;
    if (second > 0) {
      multiply_two(x, x_stride, w, steps, sums);
    } else {
      multiply_one(x, x_stride, w, steps, sums);
    }
    finish(sums, first + second, bias, static_cast<Out*>(args.y) + row * args.y_stride + column,
           args.y_stride, args.n - column);
    row += first + second;
  }
}

template <typename Out>
void multiply_all(const LinearArgs& args) {
  const int64_t panels = (args.n + kPanel - 1) / kPanel;
  const int64_t chunks = (args.m + kTaskRows - 1) / kTaskRows;
  // Chunks of whole pairs of tiles, the last one shorter.
  const int64_t rows = (args.m + chunks - 1) / chunks;
  const int64_t chunk_rows = (rows + 2 * kTile - 1) / (2 * kTile) * (2 * kTile);
#pragma omp parallel if (args.m * args.n * args.k > kParallelWork)
  {
#pragma omp for schedule(static) nowait
    for (int64_t task = 0; task < panels * chunks; ++task) {
      const int64_t begin = task % chunks * chunk_rows;
      const int64_t end = min_of(args.m, begin + chunk_rows);
      if (begin < end) multiply_panel<Out>(args, task / chunks, begin, end);
    }
    _tile_release();
  }
}

}  // namespace

void linear(const LinearArgs& args) {
  args.out == ElementType::kFloat32 ? multiply_all<float>(args) : multiply_all<Bf16>(args);
}

}  // namespace saccade::kernels::amx
