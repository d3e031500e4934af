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

// 16 rows of queries and what they have gathered so far.
template <int D>
struct QueryTile {
  uint32_t q[D / 16][4];
  float out[D / 8][4] = {};
  float top[2] = {-INFINITY, -INFINITY};  // of rows t / 4 and t / 4 + 8
  float sum[2] = {};                      // this lane's share
  int position[2];                        // -1: no such row
  float slope[2] = {};                    // of alibi

  // `rows` of the map from `first` on.
  __device__ void load_queries(const PagedAttentionArgs& args, const PagedSequence& sequence,
                               int kv_head, const RowMap& map, int first) {
    const int lane = threadIdx.x % 32;
    const Bf16* rows[2];
    for (int i = 0; i < 2; ++i) {
      const int row = first + lane / 4 + 8 * i;
      position[i] = map.position(row);
      const int64_t token = sequence.query_start + row / map.group;
      const int head = kv_head * map.group + row % map.group;
      rows[i] = static_cast<const Bf16*>(args.q) + token * args.q_stride + int64_t{head} * D;
      if (args.alibi_slopes != nullptr) slope[i] = args.alibi_slopes[head];
    }
#pragma unroll
    for (int k = 0; k < D / 16; ++k) {
      for (int i = 0; i < 4; ++i) {
        const int column = k * 16 + 2 * (lane % 4) + 8 * (i / 2);
        q[k][i] =
            position[i % 2] < 0 ? 0u : *reinterpret_cast<const uint32_t*>(rows[i % 2] + column);
      }
    }
  }

  __device__ bool sees(int row, int key, int window) const {
    return key <= position[row] && (window == 0 || position[row] - key < window);
  }

  // Keys [first_key, first_key + kKeys) and their values, both [kKeys][kSmemStride<D>].
  template <int kKeys>
  __device__ void attend(const PagedAttentionArgs& args, const Bf16* keys, const Bf16* values,
                         int first_key) {
    const int lane = threadIdx.x % 32;
    float score[kKeys / 8][4] = {};
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
      const uint32_t weights[4] = {packed(score[2 * j][0], score[2 * j][1]),
                                   packed(score[2 * j][2], score[2 * j][3]),
                                   packed(score[2 * j + 1][0], score[2 * j + 1][1]),
                                   packed(score[2 * j + 1][2], score[2 * j + 1][3])};
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
  __device__ void scale_and_mask(float (&score)[kKeys / 8][4], const PagedAttentionArgs& args,
                                 int first_key) const {
    constexpr float kLog2E = 1.4426950408889634f;
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
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
  __device__ void weigh(float (&score)[kKeys / 8][4]) {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
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
    for (int row = 0; row < 2; ++row) {
      sum[row] += __shfl_xor_sync(0xffffffffu, sum[row], 1);
      sum[row] += __shfl_xor_sync(0xffffffffu, sum[row], 2);
    }
  }
};

// Keys [first, first + kKeys) of one kv head and their values to shared memory, by `threads`
// threads of which this is the `thread`th; zeros from `end` on.
template <int D, int kKeys>
__device__ inline void fetch_tile(const PagedAttentionArgs& args, const PagedSequence& sequence,
                                  int kv_head, int first, int end, Bf16* keys, Bf16* values,
                                  int thread, int threads) {
  constexpr int kPieces = D / 8;
  for (int i = thread; i < kKeys * kPieces; i += threads) {
    const int row = i / kPieces, column = i % kPieces * 8;
    const int key = first + row;
    const bool there = key < end;
    int64_t at = 0;
    if (there) {
      const int block = sequence.blocks[key / args.block_size];
      at = block * args.kv_strides.block + kv_head * args.kv_strides.head +
           key % args.block_size * args.kv_strides.key + column;
    }
    const int to = row * kSmemStride<D> + column;
    copy_async(keys + to, static_cast<const Bf16*>(args.k_pool) + at, there);
    copy_async(values + to, static_cast<const Bf16*>(args.v_pool) + at, there);
  }
}

}  // namespace saccade::kernels::cuda
