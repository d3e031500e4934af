#pragma once

#include "engine/kernels/cuda/attention_tile.cuh"

// Many queries against a cache (FlashAttention-2, Dao 2023): a block takes 64 rows of one kv head,
// each of its warps 16, and walks over the keys that any of them sees, a tile ahead.
namespace saccade::kernels::cuda {

constexpr int kPrefillWarps = 4;
constexpr int kPrefillRows = kPrefillWarps * kTileRows;
template <int D>
constexpr int kPrefillKeys = D > 128 ? 32 : 64;
template <int D>
constexpr int kPrefillTile = kPrefillKeys<D>* kSmemStride<D>;  // elements
template <int D>
constexpr int kPrefillSmem = 2 * 2 * kPrefillTile<D> * 2;  // bytes

// Block (64 rows, kv head, sequence); the rows with the most keys come first.
template <int D>
__global__ void __launch_bounds__(kPrefillWarps * 32)
    prefill_kernel(const __grid_constant__ PagedAttentionArgs args) {
  extern __shared__ __align__(16) unsigned char smem[];
  let_next_start();
  wait_for_previous();
  const PagedSequence sequence = args.sequences[blockIdx.z];
  const RowMap map(args, sequence);
  if (map.is_short()) return;
  const int kv_head = blockIdx.y;
  const int first_row =
      ((map.rows + kPrefillRows - 1) / kPrefillRows - 1 - static_cast<int>(blockIdx.x)) *
      kPrefillRows;
  if (first_row < 0) return;
  constexpr int kKeys = kPrefillKeys<D>;
  const int last_row = min(first_row + kPrefillRows, map.rows) - 1;
  const int end = map.position(last_row) + 1;
  int key = 0;
  if (args.sliding_window > 0) {
    key = max(0, map.position(first_row) - args.sliding_window + 1) / kKeys * kKeys;
  }
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;

  QueryTile<D> tile;
  tile.load_queries(args, sequence, kv_head, map, first_row + warp * kTileRows);
  Bf16* stages = reinterpret_cast<Bf16*>(smem);
  const auto fetch = [&](int first, int stage) {
    Bf16* keys = stages + stage * 2 * kPrefillTile<D>;
    if (first < end) {
      fetch_tile<D, kKeys, kPrefillWarps * 32>(args, sequence, kv_head, first, end, keys,
                                               keys + kPrefillTile<D>, threadIdx.x);
    }
    commit_copies();
  };
  fetch(key, 0);
  for (int stage = 0; key < end; key += kKeys, stage ^= 1) {
    fetch(key + kKeys, stage ^ 1);
    await_copies<1>();
    __syncthreads();
    const Bf16* keys = stages + stage * 2 * kPrefillTile<D>;
    tile.template attend<kKeys>(args, keys, keys + kPrefillTile<D>, key);
    __syncthreads();
  }
  tile.finish_sums();

  for (int i = 0; i < 2; ++i) {
    if (tile.position[i] < 0) continue;
    const int row = first_row + warp * kTileRows + lane / 4 + 8 * i;
    const int64_t token = sequence.query_start + row / map.group;
    const int64_t head = int64_t{kv_head} * map.group + row % map.group;
    Bf16* to = static_cast<Bf16*>(args.out) + token * args.out_stride + head * D + 2 * (lane % 4);
    const float scale = 1.0f / tile.sum[i];
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
      *reinterpret_cast<uint32_t*>(to + n * 8) =
          packed(tile.out[n][2 * i] * scale, tile.out[n][2 * i + 1] * scale);
    }
  }
}

}  // namespace saccade::kernels::cuda
