#pragma once

#include "engine/kernels/cuda/attention_tile.cuh"

// Few queries against many keys (Flash-Decoding, Dao et al. 2023): the keys are cut into pieces of
// fixed length, a block for each, and within it every warp takes each fourth tile of 16 keys. What
// each piece has gathered is combined by a second kernel where there is more than one.
namespace saccade::kernels::cuda {

constexpr int kDecodeWarps = 4;
constexpr int kSplitKeys = 256;
constexpr int kDecodeKeys = 16;  // of a tile
constexpr int kDecodeStages = 2;

// Rows [sequence][split][head of the sequence's queries]: first D weighted values, then top and
// sum.
struct Partials {
  float* data;
  int splits;         // at most, of any sequence
  int rows_of_group;  // at most, of one kv head
  int kv_heads;
  int width;  // D + 2
  __device__ float* at(int sequence, int split, int kv_head, int row) const {
    const int64_t first = (int64_t{sequence} * splits + split) * kv_heads + kv_head;
    return data + (first * rows_of_group + row) * width;
  }
};

__device__ inline int splits_of(const PagedSequence& sequence) {
  return (sequence.context_length + kSplitKeys - 1) / kSplitKeys;
}

template <int D>
constexpr int kDecodeTile = kDecodeKeys* kSmemStride<D>;  // elements
template <int D>
constexpr int kDecodeSmem = kDecodeWarps* kDecodeStages * 2 * kDecodeTile<D> * 2;  // bytes

__device__ inline void write_row(const PagedAttentionArgs& args, const PagedSequence& sequence,
                                 int kv_head, int group, int row, int d, float value) {
  const int64_t token = sequence.query_start + row / group;
  const int64_t head = int64_t{kv_head} * group + row % group;
  static_cast<Bf16*>(args.out)[token * args.out_stride + head * args.head_dim + d] =
      rounded<Bf16>(value);
}

// The weight of one part beside the highest of all; 0 for a part that saw nothing.
__device__ inline float part_weight(float top, float highest) {
  return top == -INFINITY ? 0.0f : exp2f(top - highest);
}

// Block (split, kv head, sequence).
template <int D>
__global__ void __launch_bounds__(kDecodeWarps * 32)
    decode_kernel(const __grid_constant__ PagedAttentionArgs args, const Partials partials) {
  extern __shared__ __align__(16) unsigned char smem[];
  let_next_start();
  wait_for_previous();
  const PagedSequence sequence = args.sequences[blockIdx.z];
  const RowMap map(args, sequence);
  const int splits = splits_of(sequence);
  if (!map.is_short() || blockIdx.x >= splits) return;
  const int kv_head = blockIdx.y;
  const int first = blockIdx.x * kSplitKeys;
  const int end = min(first + kSplitKeys, sequence.context_length);
  int begin = first;
  if (args.sliding_window > 0) begin = max(begin, map.first_position - args.sliding_window + 1);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;

  QueryTile<D> tile;
  tile.load_queries(args, sequence, kv_head, map, 0);
  Bf16* stages = reinterpret_cast<Bf16*>(smem) + warp * kDecodeStages * 2 * kDecodeTile<D>;
  const auto fetch = [&](int key, int stage) {
    Bf16* keys = stages + stage * 2 * kDecodeTile<D>;
    if (key < end) {
      fetch_tile<D, kDecodeKeys>(args, sequence, kv_head, key, end, keys, keys + kDecodeTile<D>,
                                 lane, 32);
    }
    commit_copies();
  };
  constexpr int kStep = kDecodeWarps * kDecodeKeys;
  int key = first + warp * kDecodeKeys;
  while (key + kDecodeKeys <= begin) key += kStep;
  for (int s = 0; s < kDecodeStages - 1; ++s) fetch(key + s * kStep, s);
  for (int stage = 0; key < end; key += kStep, stage = (stage + 1) % kDecodeStages) {
    fetch(key + (kDecodeStages - 1) * kStep, (stage + kDecodeStages - 1) % kDecodeStages);
    await_copies<kDecodeStages - 1>();
    __syncwarp();
    const Bf16* keys = stages + stage * 2 * kDecodeTile<D>;
    tile.template attend<kDecodeKeys>(args, keys, keys + kDecodeTile<D>, key);
    __syncwarp();
  }
  tile.finish_sums();
  await_copies<0>();

  // The warps' parts, [warp][row][D + 2] in the place of the tiles.
  __syncthreads();
  float* parts = reinterpret_cast<float*>(smem);
  constexpr int kWidth = D + 2;
  for (int i = 0; i < 2; ++i) {
    const int row = lane / 4 + 8 * i;
    if (row >= map.rows) continue;
    float* part = parts + (warp * kTileRows + row) * kWidth;
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
      part[n * 8 + 2 * (lane % 4)] = tile.out[n][2 * i];
      part[n * 8 + 2 * (lane % 4) + 1] = tile.out[n][2 * i + 1];
    }
    if (lane % 4 == 0) {
      part[D] = tile.top[i];
      part[D + 1] = tile.sum[i];
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < map.rows * D; i += blockDim.x) {
    const int row = i / D, d = i % D;
    const float* part = parts + row * kWidth;
    float highest = -INFINITY;
    for (int w = 0; w < kDecodeWarps; ++w) {
      highest = fmaxf(highest, part[w * kTileRows * kWidth + D]);
    }
    float value = 0, sum = 0;
    for (int w = 0; w < kDecodeWarps; ++w) {
      const float* own = part + w * kTileRows * kWidth;
      const float weight = part_weight(own[D], highest);
      value += weight * own[d];
      sum += weight * own[D + 1];
    }
    if (splits == 1) {
      write_row(args, sequence, kv_head, map.group, row, d, value / sum);
      continue;
    }
    float* to = partials.at(blockIdx.z, blockIdx.x, kv_head, row);
    to[d] = value;
    if (d == 0) {
      to[D] = highest;
      to[D + 1] = sum;
    }
  }
}

// Block (kv head, sequence), of the sequences with more than one split.
template <int D>
__global__ void combine_kernel(const __grid_constant__ PagedAttentionArgs args,
                               const Partials partials) {
  let_next_start();
  wait_for_previous();
  const PagedSequence sequence = args.sequences[blockIdx.y];
  const RowMap map(args, sequence);
  const int splits = splits_of(sequence);
  if (!map.is_short() || splits == 1) return;
  const int kv_head = blockIdx.x;
  for (int i = threadIdx.x; i < map.rows * D; i += blockDim.x) {
    const int row = i / D, d = i % D;
    float highest = -INFINITY, value = 0, sum = 0;
    for (int s = 0; s < splits; ++s) {
      const float* part = partials.at(blockIdx.y, s, kv_head, row);
      if (part[D] == -INFINITY) continue;
      const float top = fmaxf(highest, part[D]);
      const float keep = part_weight(highest, top), weight = exp2f(part[D] - top);
      value = value * keep + part[d] * weight;
      sum = sum * keep + part[D + 1] * weight;
      highest = top;
    }
    write_row(args, sequence, kv_head, map.group, row, d, value / sum);
  }
}

}  // namespace saccade::kernels::cuda
