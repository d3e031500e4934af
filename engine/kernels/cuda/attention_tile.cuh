#pragma once

#include "engine/kernels/cuda/async_copy.cuh"
#include "engine/kernels/cuda/kernels.h"
#include "engine/kernels/cuda/tensor_core.cuh"

// The product of 16 query rows and a tile of keys on the tensor cores, as in FlashAttention-2 (Dao
// 2023): scores, running softmax and weighted values stay in one warp's registers. Fragments are
// those of mma.m16n8k16 (PTX ISA, "Matrix Fragments for mma.m16n8k16"): lane t holds of rows t / 4
// and t / 4 + 8 the columns 2 (t % 4) and the next one of each 8.
namespace saccade::kernels::cuda {

constexpr int kTileRows = kShortRows;
// Rows in shared memory lie 16 bytes further apart than they are long: 8 of them in a column, as
// ldmatrix reads them, then touch all banks.
template <int D>
constexpr int kSmemStride = D + 8;

// Where the rows of one kv head stand: row r is query r / group of the sequence, head r % group of
// the group.
struct RowMap {
  int rows;  // query_length * group
  int group;
  int first_position;  // of query 0

  __device__ RowMap(const PagedAttentionArgs& args, const PagedSequence& sequence)
      : rows(sequence.query_length * (args.heads / args.kv_heads)),
        group(args.heads / args.kv_heads),
        first_position(sequence.context_length - sequence.query_length) {}

  __device__ bool is_short() const { return rows <= kTileRows; }
  __device__ int position(int row) const { return row < rows ? first_position + row / group : -1; }
};

__device__ inline void load_matrices(uint32_t (&r)[4], const Bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(smem_address(row)));
}

__device__ inline void load_matrices_transposed(uint32_t (&r)[4], const Bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(smem_address(row)));
}

__device__ inline uint32_t packed(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

// 8 or 16 rows of queries, a lane's in one or two halves, and what they have gathered so far.
template <int D, int kHalves = 2>
struct QueryTile {
  static constexpr int kOwn = 2 * kHalves;  // of a fragment, in each lane
  uint32_t q[D / 16][kOwn];
  float out[D / 8][kOwn] = {};
  float top[kHalves];         // of rows t / 4 and t / 4 + 8
  float sum[kHalves] = {};    // this lane's share
  int position[kHalves];      // -1: no such row
  float slope[kHalves] = {};  // of alibi

  // `rows` of the map from `first` on.
  __device__ void load_queries(const PagedAttentionArgs& args, const PagedSequence& sequence,
                               int kv_head, const RowMap& map, int first) {
    const int lane = threadIdx.x % 32;
    const Bf16* rows[kHalves];
    for (int i = 0; i < kHalves; ++i) {
      const int row = first + lane / 4 + 8 * i;
      top[i] = -INFINITY;
      position[i] = map.position(row);
      const int64_t token = sequence.query_start + row / map.group;
      const int head = kv_head * map.group + row % map.group;
      rows[i] = static_cast<const Bf16*>(args.q) + token * args.q_stride + int64_t{head} * D;
      if (args.alibi_slopes != nullptr) slope[i] = args.alibi_slopes[head];
    }
#pragma unroll
    for (int k = 0; k < D / 16; ++k) {
      for (int i = 0; i < kOwn; ++i) {
        const int column = k * 16 + 2 * (lane % 4) + 8 * (i / kHalves);
        const int half = i % kHalves;
        q[k][i] = position[half] < 0 ? 0u : *reinterpret_cast<const uint32_t*>(rows[half] + column);
      }
    }
  }

  __device__ bool sees(int row, int key, int window) const {
    return key <= position[row] && (window == 0 || position[row] - key < window);
  }

  template <int kKeys>
  using Weights = float[kKeys / 8][kOwn];

  // Keys [first_key, first_key + kKeys) and their values, both [kKeys][kSmemStride<D>].
  template <int kKeys>
  __device__ void attend(const PagedAttentionArgs& args, const Bf16* keys, const Bf16* values,
                         int first_key) {
    const int lane = threadIdx.x % 32;
    Weights<kKeys> score = {};
#pragma unroll
    for (int k = 0; k < D / 16; ++k) {
#pragma unroll
      for (int n = 0; n < kKeys / 16; ++n) {
        const int key = n * 16 + lane / 16 * 8 + lane % 8;
        uint32_t b[4];
        load_matrices(b, keys + key * kSmemStride<D> + k * 16 + lane / 8 % 2 * 8);
        multiply(score[2 * n], q[k], b[0], b[1]);
        multiply(score[2 * n + 1], q[k], b[2], b[3]);
      }
    }
    if (args.alibi_slopes == nullptr) {
      scale_and_mask<kKeys, false>(score, args, first_key);
    } else {
      scale_and_mask<kKeys, true>(score, args, first_key);
    }
    weigh<kKeys>(score);
#pragma unroll
    for (int j = 0; j < kKeys / 16; ++j) {
      uint32_t weights[kOwn];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const float* pair = score[2 * j + i / kHalves] + 2 * (i % kHalves);
        weights[i] = packed(pair[0], pair[1]);
      }
#pragma unroll
      for (int n = 0; n < D / 16; ++n) {
        const int key = j * 16 + lane / 8 % 2 * 8 + lane % 8;
        uint32_t b[4];
        load_matrices_transposed(b, values + key * kSmemStride<D> + n * 16 + lane / 16 * 8);
        multiply(out[2 * n], weights, b[0], b[1]);
        multiply(out[2 * n + 1], weights, b[2], b[3]);
      }
    }
  }

  // Scores become exponents of 2.
  template <int kKeys, bool kAlibi>
  __device__ void scale_and_mask(Weights<kKeys>& score, const PagedAttentionArgs& args,
                                 int first_key) const {
    constexpr float kLog2E = 1.4426950408889634f;
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const int key = first_key + n * 8 + 2 * (lane % 4) + i % 2;
        float x = score[n][i] * args.scale;
        if (args.soft_cap > 0) x = args.soft_cap * tanhf(x / args.soft_cap);
        if constexpr (kAlibi) x += slope[i / 2] * (key - position[i / 2]);
        score[n][i] = sees(i / 2, key, args.sliding_window) ? x * kLog2E : -INFINITY;
      }
    }
  }

  // Exponents become weights against the highest so far; what was gathered before is scaled to it.
  template <int kKeys>
  __device__ void weigh(Weights<kKeys>& score) {
#pragma unroll
    for (int row = 0; row < kHalves; ++row) {
      float highest = top[row];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
        highest = fmaxf(highest, fmaxf(score[n][2 * row], score[n][2 * row + 1]));
      }
      highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 1));
      highest = fmaxf(highest, __shfl_xor_sync(0xffffffffu, highest, 2));
      const float base = highest == -INFINITY ? 0.0f : highest;  // nothing seen yet
      const float keep = exp2f(top[row] - base);
      top[row] = highest;
      sum[row] *= keep;
#pragma unroll
      for (int n = 0; n < D / 8; ++n) {
        out[n][2 * row] *= keep;
        out[n][2 * row + 1] *= keep;
      }
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
        for (int i = 2 * row; i < 2 * row + 2; ++i) {
          score[n][i] = exp2f(score[n][i] - base);
          sum[row] += score[n][i];
        }
      }
    }
  }

  __device__ void finish_sums() {
    for (int row = 0; row < kHalves; ++row) {
      sum[row] += __shfl_xor_sync(0xffffffffu, sum[row], 1);
      sum[row] += __shfl_xor_sync(0xffffffffu, sum[row], 2);
    }
  }
};

// Where a key lies in its pool, in elements.
__device__ inline int64_t place_of(const PagedAttentionArgs& args, const PagedSequence& sequence,
                                   int kv_head, int key) {
  const int block = sequence.blocks[key / args.block_size];
  return block * args.kv_strides.block + kv_head * args.kv_strides.head +
         key % args.block_size * args.kv_strides.key;
}

// Keys [first, first + kKeys) of one kv head and their values to shared memory, by kThreads threads
// of which this is the `thread`th; zeros from `end` on. `first` is a multiple of kKeys.
template <int D, int kKeys, int kThreads>
__device__ inline void fetch_tile(const PagedAttentionArgs& args, const PagedSequence& sequence,
                                  int kv_head, int first, int end, Bf16* keys, Bf16* values,
                                  int thread) {
  constexpr int kPieces = D / 8;
  static_assert(kKeys * kPieces % kThreads == 0);
  const bool in_one_block = args.block_size % kKeys == 0;
  const int64_t place = in_one_block ? place_of(args, sequence, kv_head, first) : 0;
  constexpr int kCopies = kKeys * kPieces / kThreads;
  // A block that shares a tile has no registers for it, nor has a warp where each copy begins at
  // another column (heads of 96).
  constexpr bool kOneColumn = kThreads % kPieces == 0;
  constexpr int kAtOnce = kThreads > 32 ? 1 : kOneColumn ? kCopies : 2;
#pragma unroll kAtOnce
  for (int j = 0; j < kCopies; ++j) {
    const int i = thread + j * kThreads;
    const int row = i / kPieces, column = i % kPieces * 8;
    const bool there = first + row < end;
    int64_t at = place;
    if (in_one_block) {
      at += there ? row * args.kv_strides.key : 0;
    } else if (there) {
      at = place_of(args, sequence, kv_head, first + row);
    }
    const int to = row * kSmemStride<D> + column;
    copy_async(keys + to, static_cast<const Bf16*>(args.k_pool) + at + column, there);
    copy_async(values + to, static_cast<const Bf16*>(args.v_pool) + at + column, there);
  }
}

}  // namespace saccade::kernels::cuda
