#pragma once

#include <cstdint>

#include "engine/models/vlm.h"

namespace saccade {

// `dtype`: the model's, or int8 (at::kChar): each key and value of a head rounded to 8 bits, with a
// scale of its own in float32 (kernels/rope.h).

// Bytes that one token's keys and values take in all layers.
int64_t cache_bytes_per_token(const CacheShape& shape, at::ScalarType dtype);

// Pools of `num_blocks` blocks for each layer. Memory is reserved, not touched: resident size grows
// with use.
KVCache make_kv_cache(const CacheShape& shape, int num_blocks, int block_size, at::ScalarType dtype,
                      at::Device device);

// Bytes of memory free for the taking on `device`.
int64_t free_memory_bytes(at::Device device);

}  // namespace saccade
