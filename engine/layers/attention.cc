#include "engine/layers/attention.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/kernels/rope.h"
#include "engine/layers/device_kernels.h"
#include "engine/layers/kernel_type.h"
#include "engine/layers/step_profile.h"

namespace saccade {
namespace {

at::Tensor gather_blocks(const at::Tensor& pool, const kernels::PagedSequence& sequence,
                         int block_size) {
  const int64_t count = (sequence.context_length + block_size - 1) / block_size;
  const at::Tensor blocks =
      at::from_blob(const_cast<int32_t*>(sequence.blocks), {count}, at::kInt).to(pool.device());
  // [blocks, kv_heads, block_size, d] -> [kv_heads, context, d]
  return pool.index_select(0, blocks).transpose(0, 1).flatten(1, 2).narrow(1, 0,
                                                                           sequence.context_length);
}

// How far behind each query each key lies, [query_length, context_length]; negative: in front.
at::Tensor key_distances(const kernels::PagedSequence& sequence, at::Device device) {
  const auto options = at::dtype(at::kLong).device(device);
  const int64_t first = sequence.context_length - sequence.query_length;
  const at::Tensor query = at::arange(first, sequence.context_length, options).unsqueeze(1);
  return query - at::arange(0, sequence.context_length, options).unsqueeze(0);
}

at::Tensor visible_keys(const at::Tensor& distances, int window) {
  const at::Tensor visible = distances.ge(0);
  return window > 0 ? visible.logical_and(distances.lt(window)) : visible;
}

void write_cache(const at::Tensor& pool, const at::Tensor& rows, const at::Tensor& slots,
                 int block_size) {
  const at::Tensor blocks = at::floor_divide(slots, block_size);
  const at::Tensor offsets = slots.remainder(block_size);
  // pool[blocks[t], :, offsets[t]] = rows[t]
  pool.transpose(1, 2).index_put_({blocks, offsets}, rows);
}

// Null where the pools need none.
float* scales_of(const at::Tensor& scales) {
  return scales.defined() ? scales.data_ptr<float>() : nullptr;
}

// q rotated in place, k rotated and written to its slots with v.
void rotate_and_cache(const at::Tensor& qkv, const AttentionShape& shape, const at::Tensor& rope,
                      const AttentionInput& input, const LayerCache& cache) {
  const ProfileScope scope(KernelClass::kElementwise);
  const int64_t tokens = qkv.size(0);
  const int64_t half = rope.defined() ? rope.size(2) : 0;
  const float* cos = rope.defined() ? rope.const_data_ptr<float>() : nullptr;
  device_kernels::rope_and_write_kv(
      qkv,
      {.type = element_type(qkv),
       .num_tokens = tokens,
       .heads = shape.heads,
       .kv_heads = shape.kv_heads,
       .head_dim = shape.head_dim,
       .rotary_dim = static_cast<int>(2 * half),
       .qkv = qkv.data_ptr(),
       .qkv_stride = qkv.size(1),
       .cos = cos,
       .sin = half > 0 ? cos + tokens * half : nullptr,
       .table_stride = half,
       .slots = qkv.is_cpu() ? input.slots.data() : input.device.slots.const_data_ptr<int64_t>(),
       .k_pool = cache.keys.data_ptr(),
       .v_pool = cache.values.data_ptr(),
       .k_scales = scales_of(cache.key_scales),
       .v_scales = scales_of(cache.value_scales),
       .block_size = input.block_size});
}

// x [n, heads, t, d] with the heads of a row behind each other, copied only where they are not.
at::Tensor by_rows(const at::Tensor& x) {
  const bool rows =
      x.stride(3) == 1 && x.stride(1) == x.size(3) && x.stride(0) == x.size(2) * x.stride(2);
  return rows ? x : x.transpose(1, 2).contiguous().transpose(1, 2);
}

// Scores and weighted sums of `pairs` queries and keys that see each other, for measurements.
void note_products(int64_t pairs, int64_t heads, int64_t head_dim) {
  if (StepProfile* profile = ProfileCollection::current()) {
    profile->flops += 4 * pairs * heads * head_dim;
  }
}

int64_t visible_pairs(const std::vector<kernels::PagedSequence>& sequences, int window) {
  int64_t pairs = 0;
  for (const kernels::PagedSequence& sequence : sequences) {
    const int64_t first = sequence.context_length - sequence.query_length;
    for (int64_t position = first; position < sequence.context_length; ++position) {
      pairs += window > 0 ? std::min<int64_t>(position + 1, window) : position + 1;
    }
  }
  return pairs;
}

// Each of the n pictures is a sequence whose keys are one block; nothing is copied where q, k and v
// are parts of the same projection.
at::Tensor encoder_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const int64_t n = q.size(0), heads = q.size(1), d = q.size(3);
  const auto queries = static_cast<int32_t>(q.size(2)), context = static_cast<int32_t>(k.size(2));
  const at::Tensor query_rows = by_rows(q);
  const bool alike = k.strides() == v.strides() && k.stride(3) == 1;
  const at::Tensor keys = alike ? k : k.contiguous();
  const at::Tensor values = alike ? v : v.contiguous();
  std::vector<int32_t> blocks(n);
  std::vector<kernels::PagedSequence> sequences;
  for (int32_t i = 0; i < static_cast<int32_t>(n); ++i) {
    blocks[i] = i;
    sequences.push_back({i * queries, queries, context, &blocks[i]});
  }
  at::Tensor out = at::empty({n, queries, heads * d}, q.options());
  note_products(n * queries * context, heads, d);
  kernels::paged_attention({.type = element_type(q),
                            .heads = static_cast<int>(heads),
                            .kv_heads = static_cast<int>(heads),
                            .head_dim = static_cast<int>(d),
                            .scale = 1.0F / std::sqrt(static_cast<float>(d)),
                            .sliding_window = 0,
                            .q = query_rows.const_data_ptr(),
                            .q_stride = query_rows.stride(2),
                            .causal = false,
                            .k_pool = keys.const_data_ptr(),
                            .v_pool = values.const_data_ptr(),
                            .kv_strides = {keys.stride(0), keys.stride(1), keys.stride(2)},
                            .block_size = context,
                            .sequences = sequences.data(),
                            .num_sequences = static_cast<int>(n),
                            .out = out.data_ptr(),
                            .out_stride = heads * d});
  return out;
}

}  // namespace

at::Tensor rotate(const at::Tensor& x, const at::Tensor& rope) {
  if (!rope.defined()) return x;
  const int64_t half = rope.size(2);
  const at::Tensor wide = x.to(at::promote_types(x.scalar_type(), at::kFloat));
  const at::Tensor first = wide.narrow(2, 0, half);
  const at::Tensor second = wide.narrow(2, half, half);
  const at::Tensor cos = rope[0].unsqueeze(1);
  const at::Tensor sin = rope[1].unsqueeze(1);
  const at::Tensor rest = wide.narrow(2, 2 * half, x.size(2) - 2 * half);
  return at::cat({first * cos - second * sin, second * cos + first * sin, rest}, 2)
      .to(x.scalar_type());
}

at::Tensor paged_attention_reference(const at::Tensor& qkv, const AttentionShape& shape,
                                     const at::Tensor& rope, const AttentionInput& input,
                                     const LayerCache& cache) {
  const int64_t tokens = qkv.size(0);
  const int64_t d = shape.head_dim;
  const at::Tensor heads = qkv.view({tokens, shape.heads + 2 * shape.kv_heads, d});
  const at::Tensor q = rotate(heads.narrow(1, 0, shape.heads), rope);
  const at::Tensor k = rotate(heads.narrow(1, shape.heads, shape.kv_heads), rope);
  const at::Tensor v = heads.narrow(1, shape.heads + shape.kv_heads, shape.kv_heads);

  at::Tensor slots = input.device.slots;
  if (!slots.defined()) {
    slots = at::from_blob(const_cast<int64_t*>(input.slots.data()), {tokens}, at::kLong);
  }
  write_cache(cache.keys, k, slots, input.block_size);
  write_cache(cache.values, v, slots, input.block_size);

  at::Tensor out = at::empty({tokens, shape.heads, d}, qkv.options());
  const int64_t group = shape.heads / shape.kv_heads;
  for (const kernels::PagedSequence& sequence : input.sequences) {
    const at::Tensor keys =
        gather_blocks(cache.keys, sequence, input.block_size).repeat_interleave(group, 0);
    const at::Tensor values =
        gather_blocks(cache.values, sequence, input.block_size).repeat_interleave(group, 0);
    const at::Tensor queries =
        q.narrow(0, sequence.query_start, sequence.query_length).transpose(0, 1);
    const at::Tensor distances = key_distances(sequence, qkv.device());
    const at::Tensor mask = visible_keys(distances, shape.sliding_window);
    at::Tensor scores = at::matmul(queries, keys.transpose(1, 2)).mul_(shape.scale);
    if (shape.soft_cap > 0) scores = at::tanh(scores.div_(shape.soft_cap)).mul_(shape.soft_cap);
    if (shape.alibi_slopes.defined()) {
      scores = scores - shape.alibi_slopes.view({-1, 1, 1}) * distances;
    }
    scores = scores.to(at::promote_types(qkv.scalar_type(), at::kFloat))
                 .masked_fill_(mask.logical_not(), -INFINITY);
    const at::Tensor mixed = at::matmul(at::softmax(scores, -1).to(qkv.scalar_type()), values);
    out.narrow(0, sequence.query_start, sequence.query_length).copy_(mixed.transpose(0, 1));
  }
  return out.view({tokens, shape.heads * d});
}

at::Tensor paged_attention(const at::Tensor& qkv, const AttentionShape& shape,
                           const at::Tensor& rope, const AttentionInput& input,
                           const LayerCache& cache) {
  if (!has_kernels(qkv)) return paged_attention_reference(qkv, shape, rope, input, cache);
  rotate_and_cache(qkv, shape, rope, input, cache);
  const ProfileScope scope(KernelClass::kAttention);
  const int64_t width = int64_t{shape.heads} * shape.head_dim;
  at::Tensor out = at::empty({qkv.size(0), width}, qkv.options());
  if (ProfileCollection::current() != nullptr) {
    note_products(visible_pairs(input.sequences, shape.sliding_window), shape.heads,
                  shape.head_dim);
  }
  const auto* sequences = qkv.is_cpu() ? input.sequences.data()
                                       : reinterpret_cast<const kernels::PagedSequence*>(
                                             input.device.sequences.const_data_ptr());
  device_kernels::paged_attention(
      qkv,
      {.type = element_type(qkv),
       .heads = shape.heads,
       .kv_heads = shape.kv_heads,
       .head_dim = shape.head_dim,
       .scale = shape.scale,
       .sliding_window = shape.sliding_window,
       .soft_cap = shape.soft_cap,
       .alibi_slopes =
           shape.alibi_slopes.defined() ? shape.alibi_slopes.const_data_ptr<float>() : nullptr,
       .q = qkv.const_data_ptr(),
       .q_stride = qkv.size(1),
       .k_pool = cache.keys.const_data_ptr(),
       .v_pool = cache.values.const_data_ptr(),
       .k_scales = scales_of(cache.key_scales),
       .v_scales = scales_of(cache.value_scales),
       .kv_strides = kernels::pool_strides(shape.kv_heads, input.block_size, shape.head_dim),
       .block_size = input.block_size,
       .sequences = sequences,
       .num_sequences = static_cast<int>(input.sequences.size()),
       .out = out.data_ptr(),
       .out_stride = width},
      input.sequences);
  return out;
}

at::Tensor rotated_queries(const at::Tensor& qkv, const AttentionShape& shape,
                           const at::Tensor& rope) {
  const int64_t heads = shape.heads, d = shape.head_dim;
  const at::Tensor queries = qkv.narrow(1, 0, heads * d).unflatten(1, {heads, d});
  return has_kernels(qkv) ? queries : rotate(queries, rope);
}

at::Tensor split_heads(const at::Tensor& x, int64_t heads) {
  return x.unflatten(-1, {heads, x.size(-1) / heads}).transpose(1, 2);
}

at::Tensor full_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const ProfileScope scope(KernelClass::kAttention);
  if (q.is_cpu() && has_kernels(q)) return encoder_attention(q, k, v);
  const at::Tensor mixed = at::scaled_dot_product_attention(q, k, v);
  return mixed.transpose(1, 2).flatten(2);
}

}  // namespace saccade
