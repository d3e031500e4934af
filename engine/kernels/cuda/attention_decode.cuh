#pragma once

#include "engine/kernels/cuda/attention_tile.cuh"

// Few queries against many keys (Flash-Decoding, Dao et al. 2023): the keys are cut into pieces of
// fixed length, a block for each, whose warps take turns at tiles of 16 keys. What the pieces of a
// sequence have gathered is combined by the block that is done last, or by a second kernel.
//
// Keys that were in the cache before this step are on their way while the kernels in front still
// make the queries (PagedSequence::cached_length).
namespace saccade::kernels::cuda {

constexpr int kDecodeKeys = 16;  // of a tile

// How a piece of keys is worked on. Where blocks combine themselves a kernel less is waited for,
// but each of them waits for its writes.
template <int kWarpsOfBlock, int kKeysOfPiece, int kTilesAtATime, bool kBlocksCombine>
struct DecodeShape {
  static constexpr bool kCombines = kBlocksCombine;
  static constexpr int kWarps = kWarpsOfBlock;
  static constexpr int kSplitKeys = kKeysOfPiece;
  static constexpr int kStages = kTilesAtATime;  // of a warp
  static constexpr int kStep = kWarps * kDecodeKeys;
  __host__ __device__ static constexpr int splits(int context) {
    return (context + kSplitKeys - 1) / kSplitKeys;
  }
};

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

template <int D>
constexpr int kDecodeTile = kDecodeKeys* kSmemStride<D>;  // elements
template <int D, typename Shape>
constexpr int kDecodeSmem = Shape::kWarps* Shape::kStages * 2 * kDecodeTile<D> * 2;  // bytes

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

// How many pieces of a sequence and kv head are done; all zero between two kernels.
constexpr int kMostGroups = 1 << 16;
static __device__ int pieces_done[kMostGroups];

// True in all threads of the block that is the last of `pieces` to call it: it sees what the others
// have written before.
__device__ inline bool is_last_of(int pieces, int group) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(&pieces_done[group], 1) == pieces - 1;
    if (last) pieces_done[group] = 0;
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

// One value of a sequence's row, of all its pieces, always in their order. What other blocks wrote
// is read past this multiprocessor's cache.
__device__ inline float combined(const Partials& partials, int pieces, int sequence, int kv_head,
                                 int row, int d, int dim) {
  float highest = -INFINITY, value = 0, sum = 0;
#pragma unroll 4
  for (int s = 0; s < pieces; ++s) {
    highest = fmaxf(highest, __ldcg(partials.at(sequence, s, kv_head, row) + dim));
  }
#pragma unroll 4
  for (int s = 0; s < pieces; ++s) {
    const float* part = partials.at(sequence, s, kv_head, row);
    const float weight = part_weight(__ldcg(part + dim), highest);
    value += weight * __ldcg(part + d);
    sum += weight * __ldcg(part + dim + 1);
  }
  return value / sum;
}

// Block (split, kv head, sequence), whose rows are at most 8 * kHalves.
template <int D, typename Shape, int kHalves>
__global__ void __launch_bounds__(Shape::kWarps * 32)
    decode_kernel(const __grid_constant__ PagedAttentionArgs args, const Partials partials) {
  extern __shared__ __align__(16) unsigned char smem[];
  let_next_start();
  constexpr int kStages = Shape::kStages;
  const PagedSequence sequence = args.sequences[blockIdx.z];  // no kernel writes it
  const RowMap map(args, sequence);
  const int splits = Shape::splits(sequence.context_length);
  if (!map.is_short() || static_cast<int>(blockIdx.x) >= splits) return;
  const int kv_head = blockIdx.y;
  const int first = blockIdx.x * Shape::kSplitKeys;
  const int end = min(first + Shape::kSplitKeys, sequence.context_length);
  int begin = first;
  if (args.sliding_window > 0) begin = max(begin, map.first_position - args.sliding_window + 1);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;

  Bf16* stages = reinterpret_cast<Bf16*>(smem) + warp * kStages * 2 * kDecodeTile<D>;
  const auto fetch = [&](int key, int stage) {
    Bf16* keys = stages + stage * 2 * kDecodeTile<D>;
    if (key < end) {
      fetch_tile<D, kDecodeKeys, 32>(args, sequence, kv_head, key, end, keys, keys + kDecodeTile<D>,
                                     lane);
    }
    commit_copies();
  };
  constexpr int kStep = Shape::kStep;
  int key = first + warp * kDecodeKeys;
  while (key + kDecodeKeys <= begin) key += kStep;
  bool waits = true;
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (waits && min(key + s * kStep + kDecodeKeys, end) > sequence.cached_length) {
      wait_for_previous();
      waits = false;
    }
    fetch(key + s * kStep, s);
  }
  if (waits) wait_for_previous();
  QueryTile<D, kHalves> tile;
  tile.load_queries(args, sequence, kv_head, map, 0);
  for (int stage = 0; key < end; key += kStep, stage = (stage + 1) % kStages) {
    fetch(key + (kStages - 1) * kStep, (stage + kStages - 1) % kStages);
    await_copies<kStages - 1>();
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
#pragma unroll
  for (int i = 0; i < kHalves; ++i) {
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
    for (int w = 0; w < Shape::kWarps; ++w) {
      highest = fmaxf(highest, part[w * kTileRows * kWidth + D]);
    }
    float value = 0, sum = 0;
    for (int w = 0; w < Shape::kWarps; ++w) {
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
  if (!Shape::kCombines || splits == 1) return;
  if (!is_last_of(splits, blockIdx.z * args.kv_heads + kv_head)) return;
  for (int i = threadIdx.x; i < map.rows * D; i += blockDim.x) {
    const int row = i / D, d = i % D;
    write_row(args, sequence, kv_head, map.group, row, d,
              combined(partials, splits, blockIdx.z, kv_head, row, d, D));
  }
}

// Block (kv head, sequence, row), of the sequences with more than one piece; a thread for each
// dimension.
template <int D, typename Shape>
__global__ void __launch_bounds__(D)
    combine_kernel(const __grid_constant__ PagedAttentionArgs args, const Partials partials) {
  let_next_start();
  const PagedSequence sequence = args.sequences[blockIdx.y];
  const RowMap map(args, sequence);
  const int splits = Shape::splits(sequence.context_length);
  const int kv_head = blockIdx.x, row = blockIdx.z, d = threadIdx.x;
  wait_for_previous();
  if (row >= map.rows || !map.is_short() || splits == 1) return;
  write_row(args, sequence, kv_head, map.group, row, d,
            combined(partials, splits, blockIdx.y, kv_head, row, d, D));
}

}  // namespace saccade::kernels::cuda
