#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "engine/kernels/paged_attention.h"
#include "engine/layers/device_layout.h"
#include "engine/layers/linear.h"
#include "engine/layers/rope.h"

namespace saccade {

// Rows [first, first + count) of a step's tokens look at `memory`: one picture as its family's
// encoder left it, [rows, width]. Tokens in no run look at nothing.
struct MemoryRun {
  int64_t first;
  int64_t count;
  at::Tensor memory;
};
using MemoryRuns = std::vector<MemoryRun>;

// Rows [first, first + count) of a step's tokens.
struct RowRun {
  int64_t first;
  int64_t count;
};

// The layout of one step, made once by the executor and read by every layer.
struct AttentionInput {
  std::vector<kernels::PagedSequence> sequences;
  std::vector<int64_t> slots;           // [num_tokens] block * block_size + offset of each token
  std::vector<RopePosition> positions;  // [num_tokens]
  int block_size = 0;
  AdapterRuns adapters;            // ascending
  MemoryRuns memories;             // ascending
  std::vector<RowRun> with_media;  // of requests that hold media, ascending
  DeviceLayout device;             // off the CPU only
};

// Keys and values of one layer: two pools of [num_blocks, kv_heads, block_size, head_dim], of the
// model's type or int8. Those have scales of float32, [num_blocks, kv_heads, block_size].
struct LayerCache {
  at::Tensor keys;
  at::Tensor values;
  at::Tensor key_scales = {};  // undefined: keys and values are of the model's type
  at::Tensor value_scales = {};
};

struct AttentionShape {
  int heads = 0;
  int kv_heads =
      0;  // kv head j serves query heads [j * heads / kv_heads, (j+1) * heads / kv_heads)
  int head_dim = 0;
  float scale = 0;
  int sliding_window = 0;  // key j is visible to query i iff i - j < window; 0: no limit
  float soft_cap = 0;      // scores become cap * tanh(score / cap); 0: none
  // [heads] float32 on the device of qkv: a score falls by its head's slope for each position
  // between key and query (ALiBi); undefined: none
  at::Tensor alibi_slopes = {};
};

// x [t, heads, d], its first dimensions rotated by halves: (x1, x2) -> (x1 cos - x2 sin, x2 cos +
// x1 sin); the rest is kept. `rope`: cos and sin [2, t, rotary_dim / 2], undefined for no rotation.
// Computed in float32 at least.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& rope);

// Causal attention over the paged cache for one layer. `qkv` holds rows
// [q (heads) | k (kv_heads) | v (kv_heads)] x head_dim: [num_tokens, (heads + 2 kv_heads)
// head_dim]. Rotates the first rotary_dim dimensions of q and k by `rope`, cos and sin [2,
// num_tokens, rotary_dim / 2] float32 on the device of qkv (undefined: no rotation), writes k and v
// to their slots, returns [num_tokens, heads * head_dim].
at::Tensor paged_attention(const at::Tensor& qkv, const AttentionShape& shape,
                           const at::Tensor& rope, const AttentionInput& input,
                           const LayerCache& cache);

// The same from plain ATen operators, on any device: what the kernels are compared with, and what
// a GPU runs. Leaves `qkv` as it is; paged_attention() rotates its q in place.
at::Tensor paged_attention_reference(const at::Tensor& qkv, const AttentionShape& shape,
                                     const at::Tensor& rope, const AttentionInput& input,
                                     const LayerCache& cache);

// The queries [num_tokens, heads, head_dim] as the attention of the same arguments has used them:
// rotated. After it.
at::Tensor rotated_queries(const at::Tensor& qkv, const AttentionShape& shape,
                           const at::Tensor& rope);

// [n, t, heads * d] -> [n, heads, t, d]
at::Tensor split_heads(const at::Tensor& x, int64_t heads);

// Attention of every row to every row, for encoders: q [n, heads, tq, d], k and v [n, heads, tk, d]
// -> [n, tq, heads * d].
at::Tensor full_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

}  // namespace saccade
