#pragma once

#include <cstdint>

#include "engine/kernels/element.h"

namespace saccade::kernels {

// Rotates q and k of a step (rotate_half layout: the pair of dimension i is i + rotary_dim / 2), q
// in place, and writes k and v to their slots in the pools of paged_attention.h.
// Computes in float32 and rounds once; Hugging Face in bf16 rounds cos, sin and both products on
// the way, so bf16 results may differ from it in the last place.
struct RopeArgs {
  ElementType type;  // of qkv and pools
  int64_t num_tokens;
  int heads;
  int kv_heads;
  int head_dim;
  int rotary_dim;  // even, <= head_dim; dimensions from it on are copied; 0: no rotation
  void* qkv;       // rows [q heads | k kv_heads | v kv_heads] x head_dim, qkv_stride elements apart
  int64_t qkv_stride;
  const float* cos;  // [num_tokens, rotary_dim / 2], rows table_stride apart
  const float* sin;
  int64_t table_stride;
  const int64_t* slots;  // [num_tokens] block * block_size + offset; < 0: the token is not written
  void* k_pool;          // [num_blocks, kv_heads, block_size, head_dim]
  void* v_pool;
  // Null: the pools hold `type`. Else int8: a key or value of a head becomes round(x / scale) with
  // scale = max |x| / 127 of its own, written to [num_blocks, kv_heads, block_size]. One that is
  // not finite gets a scale of NaN, so that what sees it is not finite either. CPU only.
  float* k_scales = nullptr;
  float* v_scales = nullptr;
  int block_size;
};

void rope_and_write_kv(const RopeArgs& args);

}  // namespace saccade::kernels
