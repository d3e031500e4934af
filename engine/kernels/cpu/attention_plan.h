#pragma once

// What one thread computes at a time of a step's attention. Included per instruction set.

#include "engine/kernels/cpu/simd.h"
#include "engine/kernels/paged_attention.h"

namespace saccade::kernels::SACCADE_ISA {

// Keys of one decode task. Splits begin at multiples of this position, whatever the batch is.
inline constexpr int kSplitKeys = 256;
// Most query heads per kv head that the decode path takes together.
inline constexpr int kMaxGroup = 16;
// Rows (query, head) of one prefill tile, which has at least one query: what is gathered of the
// keys serves all of them. Fewer where there would be too few tiles to go round.
inline constexpr int kTileRows = 192, kFewTileRows = 96;

struct AttentionTask {
  int32_t sequence;
  int32_t kv_head;
  int32_t begin;              // decode: first key; prefill: first query of the chunk
  int32_t end;                // decode: end of keys; prefill: end of queries
  int64_t partial;            // decode: index of the split's partial result; -1: the only split
  const AttentionTask* next;  // decode: whose keys the thread needs after this one's, or nullptr
};

// A partial result of decode: for each head of the group [maximum, sum, weighted values].
inline int64_t partial_floats(const PagedAttentionArgs& args) {
  return static_cast<int64_t>(args.heads / args.kv_heads) * (2 + args.head_dim);
}

static inline int first_visible_key(const PagedAttentionArgs& args, int position) {
  return args.sliding_window > 0 ? max_of(0, position - args.sliding_window + 1) : 0;
}

static inline bool uses_decode_path(const PagedAttentionArgs& args, const PagedSequence& sequence) {
  return args.causal && sequence.query_length == 1 && args.heads / args.kv_heads <= kMaxGroup;
}

// Pools of int8 have scales.
template <typename K>
inline constexpr bool kScaled = sizeof(K) == 1;

// A run of keys, or of values, at equal distances in memory: those of one block.
template <typename K>
struct KeyRun {
  const K* data;
  int count;
  const float* scales = nullptr;  // [count] where kScaled<K>
};

// The run that begins at key `position` of a sequence, cut at `end`.
template <typename K>
static inline KeyRun<K> run_at(const PagedAttentionArgs& args, const PagedSequence& sequence,
                               const void* pool, const float* scales, int kv_head, int position,
                               int end) {
  const int offset = position % args.block_size;
  const int64_t block = sequence.blocks[position / args.block_size];
  const KvStrides& strides = args.kv_strides;
  KeyRun<K> run = {static_cast<const K*>(pool) + block * strides.block + kv_head * strides.head +
                       offset * strides.key,
                   min_of(args.block_size - offset, end - position)};
  if constexpr (kScaled<K>) {
    run.scales = scales + (block * args.kv_heads + kv_head) * args.block_size + offset;
  }
  return run;
}
template <typename K>
static inline KeyRun<K> keys_at(const PagedAttentionArgs& args, const PagedSequence& sequence,
                                int kv_head, int position, int end) {
  return run_at<K>(args, sequence, args.k_pool, args.k_scales, kv_head, position, end);
}
template <typename K>
static inline KeyRun<K> values_at(const PagedAttentionArgs& args, const PagedSequence& sequence,
                                  int kv_head, int position, int end) {
  return run_at<K>(args, sequence, args.v_pool, args.v_scales, kv_head, position, end);
}

// Brings rows [first, last) of a run into the second-level cache, as far as it has them, while runs
// before it are worked on: runs lie anywhere in the pool, so the machine cannot foresee them. A few
// at a time, between the products: more than a core can wait for at once would hold up what it
// works on, and there are fewer places to wait for the first level than for the second.
template <typename K>
static inline void fetch(const KeyRun<K>& run, int first, int last, int head_dim) {
  const char* row =
      reinterpret_cast<const char*>(run.data + static_cast<int64_t>(first) * head_dim);
  const char* end = reinterpret_cast<const char*>(
      run.data + static_cast<int64_t>(min_of(last, run.count)) * head_dim);
  for (; row < end; row += 64) __builtin_prefetch(row, 0, 2);
}

// Soft cap of n scores in place, after `scale`; only where args.soft_cap is set.
static inline void cap_scores(float* scores, int n, float scale, float cap) {
  for (int i = 0; i < n; i += kLanes) {
    const int part = min_of(kLanes, n - i);
    store_part(scores + i, cap * vtanh(load_part(scores + i, part) * (scale / cap)), part);
  }
}

// scores[i] = scores[i] * scale + slope * (distance + i) for n keys in a row, of which the first
// lies `distance` behind the query (at most 0); only where args.alibi_slopes is set.
static inline void add_alibi(float* scores, int n, float scale, float slope, int distance) {
  float lanes[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = static_cast<float>(distance + i);
  Vec distances = load(lanes);
  for (int i = 0; i < n; i += kLanes, distances += static_cast<float>(kLanes)) {
    const int part = min_of(kLanes, n - i);
    store_part(scores + i, load_part(scores + i, part) * scale + distances * slope, part);
  }
}

// values[i] *= scales[i]: scores of keys, or weights of values, that lie in pools of bytes.
static inline void apply_scales(float* values, const float* scales, int n) {
  for (int i = 0; i < n; ++i) values[i] *= scales[i];
}

static inline float group_max(const float* values, int n) {
  float best = -__builtin_inff();
  int i = 0;
  if (n >= kLanes) {
    Vec bests = load(values);
    for (i = kLanes; i + kLanes <= n; i += kLanes) bests = vmax(load(values + i), bests);
    best = reduce_max(bests);
  }
  for (; i < n; ++i) best = max_of(best, values[i]);
  return best;
}

}  // namespace saccade::kernels::SACCADE_ISA
