#pragma once

// Blocks of a bf16 product through AMX tiles, for sources compiled with AMX.

#include "engine/kernels/cpu/simd.h"

namespace saccade::kernels::SACCADE_ISA {

inline constexpr int kTileSide = 16;      // rows of a tile; columns of a tile of sums
inline constexpr int kTileDepth = 16;     // pairs of k in a tile
inline constexpr int kBlockColumns = 32;  // columns that one call computes: two tiles

// The tile configuration of the calling thread, for as long as this lives.
class AmxTiles {
 public:
  AmxTiles() = default;
  ~AmxTiles() {
    if (first_ != 0) _tile_release();
  }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

  // c [m, 32] (+)= a [m, depth] b [depth, 32]: depth counts pairs of bf16, a multiple of 16.
  // Strides in bytes for a and b, in floats for c.
  void multiply(const char* a, int64_t a_stride, int64_t m, const char* b, int64_t b_stride,
                int64_t depth, float* c, int64_t c_stride, bool accumulate) {
    for (int64_t row = 0; row < m;) {
      const int first = static_cast<int>(min_of<int64_t>(kTileSide, m - row));
      const int second = static_cast<int>(min_of<int64_t>(kTileSide, m - row - first));
      configure(first, second);
      if (second > 0) {
        two_by_two(a + row * a_stride, a_stride, b, b_stride, depth, c + row * c_stride, c_stride,
                   accumulate);
      } else {
        one_by_two(a + row * a_stride, a_stride, b, b_stride, depth, c + row * c_stride, c_stride,
                   accumulate);
      }
      row += first + second;
    }
  }

 private:
  struct alignas(64) Config {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  };

  // Tiles 0-3 hold sums (both halves of the rows x both halves of the columns), 4-5 rows of a, 6-7
  // columns of b.
  void configure(int first, int second) {
    if (first == first_ && second == second_) return;
    Config config;
    const int rows[8] = {first, first, second, second, first, second, kTileDepth, kTileDepth};
    for (int i = 0; i < 8; ++i) {
      config.rows[i] = static_cast<uint8_t>(rows[i]);
      config.row_bytes[i] = rows[i] > 0 ? 64 : 0;
    }
    _tile_loadconfig(&config);
    first_ = first;
    second_ = second;
  }

  static void two_by_two(const char* a, int64_t a_stride, const char* b, int64_t b_stride,
                         int64_t depth, float* c, int64_t c_stride, bool accumulate) {
    const char* a2 = a + kTileSide * a_stride;
    float* c2 = c + kTileSide * c_stride;
    if (accumulate) {
      _tile_loadd(0, c, c_stride * 4);
      _tile_loadd(1, c + kTileSide, c_stride * 4);
      _tile_loadd(2, c2, c_stride * 4);
      _tile_loadd(3, c2 + kTileSide, c_stride * 4);
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    for (int64_t k = 0; k < depth; k += kTileDepth) {
      _tile_loadd(4, a + k * 4, a_stride);
      _tile_loadd(6, b, b_stride);
      _tile_loadd(7, b + 64, b_stride);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, a2 + k * 4, a_stride);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
      b += kTileDepth * b_stride;
    }
    _tile_stored(0, c, c_stride * 4);
    _tile_stored(1, c + kTileSide, c_stride * 4);
    _tile_stored(2, c2, c_stride * 4);
    _tile_stored(3, c2 + kTileSide, c_stride * 4);
  }

  static void one_by_two(const char* a, int64_t a_stride, const char* b, int64_t b_stride,
                         int64_t depth, float* c, int64_t c_stride, bool accumulate) {
    if (accumulate) {
      _tile_loadd(0, c, c_stride * 4);
      _tile_loadd(1, c + kTileSide, c_stride * 4);
    } else {
      _tile_zero(0);
      _tile_zero(1);
    }
    for (int64_t k = 0; k < depth; k += kTileDepth) {
      _tile_loadd(4, a + k * 4, a_stride);
      _tile_loadd(6, b, b_stride);
      _tile_loadd(7, b + 64, b_stride);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      b += kTileDepth * b_stride;
    }
    _tile_stored(0, c, c_stride * 4);
    _tile_stored(1, c + kTileSide, c_stride * 4);
  }

  int first_ = 0;
  int second_ = 0;
};

}  // namespace saccade::kernels::SACCADE_ISA
