#pragma once

#include <cstdint>

#include "engine/kernels/element.h"

namespace saccade::kernels {

// One sequence's share of a step.
struct PagedSequence {
  int32_t query_start;     // its first row in q
  int32_t query_length;    // rows, >= 1
  int32_t context_length;  // keys its last query sees; causal: itself among them, >= query_length
  const int32_t* blocks;   // [ceil(context_length / block_size)] physical blocks
  // Of these keys, how many no kernel of this step writes: a GPU may read them ahead of the step's
  // own. 0 is always right.
  int32_t cached_length = 0;
};

// How far apart keys lie, in elements; the elements of one key lie behind each other.
struct KvStrides {
  int64_t block;
  int64_t head;
  int64_t key;
};

// Those of pools [num_blocks, kv_heads, block_size, head_dim]: the keys of one head in one block
// are one contiguous run, which is what a thread streams.
constexpr KvStrides pool_strides(int kv_heads, int block_size, int head_dim) {
  const int64_t keys = int64_t{block_size} * head_dim;
  return {kv_heads * keys, keys, head_dim};
}

// Attention of the queries of one step over the paged cache. Query i of a sequence stands at
// position p = context_length - query_length + i and sees keys 0..p, or with a sliding window those
// j with p - j < window; where `causal` is off (encoders) each query sees all context_length keys.
// Query heads [j g, (j + 1) g), g = heads / kv_heads, read kv head j. head_dim may be anything; a
// multiple of 16 is fastest. With alibi_slopes the score of head h for key j, capped, changes by
// alibi_slopes[h] * (j - p); causal attention alone.
//
// Numerics: scores, softmax and sums in float32. With bf16 storage the softmax weights are rounded
// to bf16 before they meet the values, as the reference rounds its softmax (in decode only where
// the machine multiplies bf16). Scales of int8 pools multiply scores and weights; decode rounds its
// queries to 16 bits there. A sequence's result depends neither on the other sequences of the step
// nor on the number of threads.
struct PagedAttentionArgs {
  ElementType type;  // of q, pools and out
  int heads;
  int kv_heads;
  int head_dim;
  float scale;
  int sliding_window;                   // 0: none
  float soft_cap = 0;                   // scores become soft_cap * tanh(score / soft_cap); 0: none
  const float* alibi_slopes = nullptr;  // [heads]; null: none
  const void* q;  // [num_tokens, heads, head_dim]; token rows q_stride elements apart
  int64_t q_stride;
  bool causal = true;  // off: no sliding_window, and keys may lie anyhow
  const void* k_pool;
  const void* v_pool;
  // Null: the pools hold `type`. Else int8, a key or value is its numbers times its scale,
  // [num_blocks, kv_heads, block_size], and the pools lie as pool_strides() says. CPU only.
  const float* k_scales = nullptr;
  const float* v_scales = nullptr;
  KvStrides kv_strides;
  int block_size;
  const PagedSequence* sequences;
  int num_sequences;
  void* out;  // [num_tokens, heads, head_dim]; token rows out_stride elements apart
  int64_t out_stride;
};

void paged_attention(const PagedAttentionArgs& args);

}  // namespace saccade::kernels
