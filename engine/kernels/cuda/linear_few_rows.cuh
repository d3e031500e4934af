#pragma once

#include "engine/kernels/cuda/async_copy.cuh"
#include "engine/kernels/cuda/tensor_core.cuh"

// A linear layer of few tokens: what it costs is to read the weight once. A block on each
// multiprocessor goes through the outputs, 8 at a time, whose inputs its warps share; each warp has
// a chunk of rows on its way, the next outputs' too while these are summed up, so that the memory
// never waits. The tensor cores multiply, because eight tokens cost them what one does.
namespace saccade::kernels::cuda {

constexpr int kOutputs = 8;       // of a tile: columns of b
constexpr int kTokens = 8;        // of a tile: rows of a, whose other eight are zeros
constexpr int kLinearWarps = 16;  // of a block, of which a multiprocessor has one
constexpr int kChunk = 256;       // inputs that a warp takes at a time: one copy of each lane's
constexpr int kLinearStages = 2;

// A warp's chunk: 8 rows, which lie 64 bytes further apart than they are long: what 8 lanes read
// of two of them at a time then touches all banks once.
struct WeightChunk {
  Bf16 rows[kOutputs][kChunk + 32];
};
static_assert(kChunk == 32 * kWide<Bf16>);
// A warp's share of a tile's sums. Two tiles' lie there: one is summed up while the next is made.
using WarpSums = float4[32];
constexpr int kLinearRing = kLinearWarps * kLinearStages * static_cast<int>(sizeof(WeightChunk));
constexpr int kLinearSmem = kLinearRing + 2 * kLinearWarps * static_cast<int>(sizeof(WarpSums));

// Where a warp reads: tile after tile of its block, and within a tile chunk after chunk.
struct WeightCursor {
  int tile;
  int k;
};

// Blocks: up to as many as there are tiles. x [rows, in], weight [out, in], bias [out] or null, y
// [rows, out]; rows at most kTokens, `in` a multiple of 8.
//
// A sum does not care for the order of its terms: a lane takes 8 inputs that lie side by side where
// the fragments have pairs far apart, of the weight and of x alike. A warp copies along the rows,
// 512 bytes of one at a time, which the memory answers fastest.
__global__ void __launch_bounds__(kLinearWarps * 32)
    few_rows_kernel(int rows, int64_t in, int64_t out, const Bf16* x, const Bf16* weight,
                    const Bf16* bias, Bf16* y) {
  extern __shared__ __align__(16) unsigned char smem[];
  let_next_start();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  WeightChunk* ring = reinterpret_cast<WeightChunk*>(smem) + warp * kLinearStages;
  WarpSums* sums_of_warps = reinterpret_cast<WarpSums*>(smem + kLinearRing);
  constexpr int kStep = kLinearWarps * kChunk;
  const int tiles = static_cast<int>((out + kOutputs - 1) / kOutputs);
  const int first = warp * kChunk, end = static_cast<int>(in);

  WeightCursor ahead{static_cast<int>(blockIdx.x), first};
  const auto fetch = [&](int stage) {
    if (ahead.tile < tiles && ahead.k < end) {
      const int at = ahead.k + lane * kWide<Bf16>;
      const bool there = at < end;
      const Bf16* from = weight + (there ? at : 0);
#pragma unroll
      for (int row = 0; row < kOutputs; ++row) {
        // Behind the last output the last one stands in.
        const int64_t output = min(int64_t{ahead.tile} * kOutputs + row, out - 1);
        copy_async(&ring[stage].rows[row][lane * kWide<Bf16>], from + output * in, there);
      }
      ahead.k += kStep;
      if (ahead.k >= end) ahead = {ahead.tile + static_cast<int>(gridDim.x), first};
    }
    commit_copies();
  };
  // No kernel writes weights: they are on their way before the kernel that makes x is done.
  for (int s = 0; s < kLinearStages - 1; ++s) fetch(s);
  wait_for_previous();

  // Of a fragment: this lane's token, which is its output too, and where its inputs begin.
  const int token = lane / 4, part = lane % 4 * 8;
  int stage = 0, turn = 0;
  for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += gridDim.x, turn ^= 1) {
    float sums[4] = {};
    for (int k = first; k < end; k += kStep) {
      uint4 a[kChunk / 32];
#pragma unroll
      for (int i = 0; i < kChunk / 32; ++i) {
        const int at = k + i * 32 + part;
        a[i] = uint4{};
        if (at < end && token < rows) a[i] = *reinterpret_cast<const uint4*>(x + token * in + at);
      }
      fetch((stage + kLinearStages - 1) % kLinearStages);
      await_copies<kLinearStages - 1>();
      __syncwarp();
#pragma unroll
      for (int i = 0; i < kChunk / 32; ++i) {
        const uint4 b = *reinterpret_cast<const uint4*>(&ring[stage].rows[token][i * 32 + part]);
        multiply(sums, {a[i].x, 0u, a[i].y, 0u}, b.x, b.y);
        multiply(sums, {a[i].z, 0u, a[i].w, 0u}, b.z, b.w);
      }
      __syncwarp();
      stage = (stage + 1) % kLinearStages;
    }

    WarpSums* shares = sums_of_warps + turn * kLinearWarps;
    shares[warp][lane] = float4{sums[0], sums[1], sums[2], sums[3]};
    __syncthreads();
    const int row = threadIdx.x / kOutputs, column = threadIdx.x % kOutputs;
    const int64_t n = int64_t{tile} * kOutputs + column;
    if (row >= rows || n >= out) continue;
    const int owner = row * 4 + column / 2, element = column % 2;
    float sum = 0;
    for (int w = 0; w < kLinearWarps; ++w) {
      sum += reinterpret_cast<const float*>(&shares[w][owner])[element];
    }
    y[row * out + n] = rounded<Bf16>(bias != nullptr ? sum + to_float(bias[n]) : sum);
  }
  await_copies<0>();
}

}  // namespace saccade::kernels::cuda
