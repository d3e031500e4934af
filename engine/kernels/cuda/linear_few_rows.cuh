#pragma once

#include "engine/kernels/cuda/async_copy.cuh"
#include "engine/kernels/cuda/tensor_core.cuh"

// A linear layer of few tokens: what it costs is to read the weight once. 16 outputs to a block,
// whose warps take turns along the inputs, each with several chunks of its rows on their way; the
// tensor cores multiply, because eight tokens cost them what one does. On an H200 it reads
// LLaMA-7B's weights as fast as cuBLAS does, at a third of the launch's cost: where models are
// small, launches are what a step waits for.
namespace saccade::kernels::cuda {

constexpr int kOutputs = 16;      // of a block: rows of a
constexpr int kTokens = 8;        // of a tile: columns of b
constexpr int kLinearWarps = 16;  // of a block
constexpr int kChunk = 64;        // inputs that a warp takes at a time
constexpr int kLinearStages = 3;

// A warp's chunk: 16 rows of kChunk inputs, in pieces of 16 bytes, [half][row / 8][lane]. A lane
// fetches what it will multiply itself, so nobody waits for anybody else's copies.
using WeightChunk = uint4[kChunk / 32][2][32];
constexpr int kLinearSmem = kLinearWarps * kLinearStages * static_cast<int>(sizeof(WeightChunk));

// Block (16 outputs). x [rows, in], weight [out, in], bias [out] or null, y [rows, out]; rows at
// most kTokens, `in` a multiple of 8.
//
// A sum does not care for the order of its terms: a lane takes 8 inputs that lie side by side where
// the fragments have pairs far apart, of the weight and of x alike.
__global__ void __launch_bounds__(kLinearWarps * 32)
    few_rows_kernel(int rows, int64_t in, int64_t out, const Bf16* x, const Bf16* weight,
                    const Bf16* bias, Bf16* y) {
  extern __shared__ __align__(16) unsigned char smem[];
  let_next_start();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  WeightChunk* ring = reinterpret_cast<WeightChunk*>(smem) + warp * kLinearStages;
  const int64_t first_output = int64_t{blockIdx.x} * kOutputs;
  const Bf16* weight_rows[2];  // of a lane; behind the last output the last one stands in
  for (int i = 0; i < 2; ++i) {
    weight_rows[i] = weight + min(first_output + lane / 4 + 8 * i, out - 1) * in;
  }
  const auto fetch = [&](int64_t k, int stage) {
#pragma unroll
    for (int half = 0; half < kChunk / 32; ++half) {
      const int64_t at = k + half * 32;
      const bool there = at < in;
      for (int i = 0; i < 2; ++i) {
        copy_async(&ring[stage][half][i][lane], weight_rows[i] + (there ? at : 0), there);
      }
    }
    commit_copies();
  };
  constexpr int64_t kStep = kLinearWarps * kChunk;
  const int64_t first = warp * kChunk + lane % 4 * 8;  // this lane's inputs
  // No kernel writes weights: they are on their way before the kernel that makes x is done.
  for (int s = 0; s < kLinearStages - 1; ++s) fetch(first + s * kStep, s);
  wait_for_previous();
  const int token = lane / 4;
  float sums[4] = {};
  int stage = 0;
  for (int64_t k = first; k - lane % 4 * 8 < in; k += kStep) {
    fetch(k + (kLinearStages - 1) * kStep, (stage + kLinearStages - 1) % kLinearStages);
    await_copies<kLinearStages - 1>();
#pragma unroll
    for (int half = 0; half < kChunk / 32; ++half) {
      const int64_t at = k + half * 32;
      const uint4 a = ring[stage][half][0][lane], lower = ring[stage][half][1][lane];
      uint4 b{};
      if (at < in && token < rows) b = *reinterpret_cast<const uint4*>(x + token * in + at);
      multiply(sums, {a.x, lower.x, a.y, lower.y}, b.x, b.y);
      multiply(sums, {a.z, lower.z, a.w, lower.w}, b.z, b.w);
    }
    stage = (stage + 1) % kLinearStages;
  }
  await_copies<0>();

  // The warps' shares, [warp][lane], in the place of the chunks.
  __syncthreads();
  auto* parts = reinterpret_cast<float4*>(smem);
  parts[warp * 32 + lane] = float4{sums[0], sums[1], sums[2], sums[3]};
  __syncthreads();
  const int column = threadIdx.x / kOutputs, row = threadIdx.x % kOutputs;
  const int64_t n = first_output + row;
  if (column >= rows || n >= out) return;
  const int owner = row % 8 * 4 + column / 2, element = row / 8 * 2 + column % 2;
  float sum = 0;
  for (int w = 0; w < kLinearWarps; ++w) {
    sum += reinterpret_cast<const float*>(&parts[w * 32 + owner])[element];
  }
  y[column * out + n] = rounded<Bf16>(bias != nullptr ? sum + to_float(bias[n]) : sum);
}

}  // namespace saccade::kernels::cuda
