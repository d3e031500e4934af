#include <algorithm>

#include "engine/kernels/cuda/attention_decode.cuh"
#include "engine/kernels/cuda/attention_prefill.cuh"

namespace saccade::kernels::cuda {
namespace {

constexpr int kPlainWarps = 4;
constexpr int kPlainMaxHeadDim = 512;

// Any head size, in any element type: one warp for one query of one head, key after key.
// Block (four of them, 1, sequence).
template <typename T>
__global__ void plain_kernel(const __grid_constant__ PagedAttentionArgs args) {
  let_next_start();
  wait_for_previous();
  const PagedSequence sequence = args.sequences[blockIdx.z];
  const int index = blockIdx.x * kPlainWarps + threadIdx.x / 32, lane = threadIdx.x % 32;
  const int query = index / args.heads, head = index % args.heads;
  if (query >= sequence.query_length) return;
  const int d = args.head_dim, kv_head = head / (args.heads / args.kv_heads);
  const int64_t token = sequence.query_start + query;
  const int position = sequence.context_length - sequence.query_length + query;
  constexpr int kPieces = kPlainMaxHeadDim / 32;
  const float slope = args.alibi_slopes != nullptr ? args.alibi_slopes[head] : 0.0f;
  float q[kPieces] = {}, out[kPieces] = {}, top = -INFINITY, sum = 0;
  const T* q_row = static_cast<const T*>(args.q) + token * args.q_stride + int64_t{head} * d;
#pragma unroll
  for (int i = 0; i < kPieces; ++i) {
    if (lane + 32 * i < d) q[i] = to_float(q_row[lane + 32 * i]);
  }
  const int begin = args.sliding_window > 0 ? max(0, position - args.sliding_window + 1) : 0;
  for (int key = begin; key <= position; ++key) {
    const int64_t at = sequence.blocks[key / args.block_size] * args.kv_strides.block +
                       kv_head * args.kv_strides.head + key % args.block_size * args.kv_strides.key;
    const T* k = static_cast<const T*>(args.k_pool) + at;
    const T* v = static_cast<const T*>(args.v_pool) + at;
    float dot = 0;
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      if (lane + 32 * i < d) dot = fmaf(q[i], to_float(k[lane + 32 * i]), dot);
    }
    float score = sum_over_warp(dot) * args.scale;
    if (args.soft_cap > 0) score = args.soft_cap * tanhf(score / args.soft_cap);
    score += slope * (key - position);
    const float highest = fmaxf(top, score);
    const float keep = expf(top - highest), weight = expf(score - highest);
    top = highest;
    sum = sum * keep + weight;
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      if (lane + 32 * i < d) out[i] = fmaf(weight, to_float(v[lane + 32 * i]), out[i] * keep);
    }
  }
  T* to = static_cast<T*>(args.out) + token * args.out_stride + int64_t{head} * d;
#pragma unroll
  for (int i = 0; i < kPieces; ++i) {
    if (lane + 32 * i < d) to[lane + 32 * i] = rounded<T>(out[i] / sum);
  }
}

void run_plain(const PagedAttentionArgs& args, const AttentionExtent& extent, Stream stream) {
  if (args.head_dim > kPlainMaxHeadDim) {
    throw std::runtime_error("attention: heads wider than " + std::to_string(kPlainMaxHeadDim) +
                             " do not run on a GPU");
  }
  const int most = extent.max_queries * args.heads;
  const dim3 grid((most + kPlainWarps - 1) / kPlainWarps, 1, args.num_sequences);
  with_element(args.type == ElementType::kFloat32, [&](auto element) {
    launch("plain attention", plain_kernel<decltype(element)>, {grid, kPlainWarps * 32}, stream,
           args);
  });
}

// With few blocks to a multiprocessor what counts is how soon a piece is done, with many how few
// there are to begin and to combine.
constexpr int kPiece = 256;  // keys
template <int D>
using FewSequences = DecodeShape<(D > 128 ? 4 : 8), kPiece, (D > 128 ? 2 : 3), true>;
using ManySequences = DecodeShape<2, kPiece, 2, false>;

// The same for all contexts up to the next power of two of pieces: a recorded step is made for
// these.
template <int D>
bool are_few(const PagedAttentionArgs& args, int splits) {
  int most = 1;
  while (most < splits) most *= 2;
  return int64_t{args.num_sequences} * args.kv_heads * most < 3 * multiprocessors() &&
         kDecodeSmem<D, FewSequences<D>> <= shared_memory();
}

Partials partials(const PagedAttentionArgs& args, const AttentionExtent& extent, float* data) {
  return {data, (extent.max_context + kPiece - 1) / kPiece, extent.max_short_rows, args.kv_heads,
          args.head_dim + 2};
}

template <int D, typename Shape>
void run_decodes(const PagedAttentionArgs& args, const Partials& parts, Stream stream) {
  constexpr int kSmem = kDecodeSmem<D, Shape>;
  static_assert(kSmem >= Shape::kWarps * kTileRows * (D + 2) * 4, "the warps' parts lie there too");
  allow_smem<decode_kernel<D, Shape, 1>, kSmem>();
  allow_smem<decode_kernel<D, Shape, 2>, kSmem>();
  const auto kernel = parts.rows_of_group <= kTileRows / 2 ? decode_kernel<D, Shape, 1>
                                                           : decode_kernel<D, Shape, 2>;
  const int at_a_time = std::max(kMostGroups / args.kv_heads, 1);
  for (int first = 0; first < args.num_sequences; first += at_a_time) {
    PagedAttentionArgs some = args;
    some.sequences += first;
    some.num_sequences = std::min(args.num_sequences - first, at_a_time);
    const dim3 pieces(static_cast<unsigned>(parts.splits), static_cast<unsigned>(args.kv_heads),
                      static_cast<unsigned>(some.num_sequences));
    launch("decode attention", kernel, {pieces, Shape::kWarps * 32, kSmem}, stream, some, parts);
    if (Shape::kCombines || parts.splits == 1) continue;
    const dim3 rows(pieces.y, pieces.z, static_cast<unsigned>(parts.rows_of_group));
    launch("combined attention", combine_kernel<D, Shape>, {rows, D}, stream, some, parts);
  }
}

template <int D>
void run_tiles(const PagedAttentionArgs& args, const AttentionExtent& extent, float* workspace,
               Stream stream) {
  const int group = args.heads / args.kv_heads;
  const auto sequences = static_cast<unsigned>(args.num_sequences);
  const auto kv_heads = static_cast<unsigned>(args.kv_heads);
  if (extent.max_short_rows > 0) {
    const Partials parts = partials(args, extent, workspace);
    const auto run = are_few<D>(args, parts.splits) ? run_decodes<D, FewSequences<D>>
                                                    : run_decodes<D, ManySequences>;
    run(args, parts, stream);
  }
  const int rows = extent.max_queries * group;
  if (rows > kTileRows) {
    allow_smem<prefill_kernel<D>, kPrefillSmem<D>>();
    const dim3 tiles(static_cast<unsigned>((rows + kPrefillRows - 1) / kPrefillRows), kv_heads,
                     sequences);
    launch("prefill attention", prefill_kernel<D>, {tiles, kPrefillWarps * 32, kPrefillSmem<D>},
           stream, args);
  }
}

// Null where no tensor core kernel takes this shape.
decltype(&run_tiles<64>) tiles_for(const PagedAttentionArgs& args) {
  const KvStrides& kv = args.kv_strides;
  const bool aligned = args.q_stride % 2 == 0 && args.out_stride % 2 == 0 && kv.block % 8 == 0 &&
                       kv.head % 8 == 0 && kv.key % 8 == 0 && is_aligned(args.k_pool) &&
                       is_aligned(args.v_pool);
  if (args.type != ElementType::kBFloat16 || !aligned) return nullptr;
  switch (args.head_dim) {
    case 64:
      return run_tiles<64>;
    case 80:
      return run_tiles<80>;
    case 96:
      return run_tiles<96>;
    case 128:
      return run_tiles<128>;
    case 256:
      return run_tiles<256>;
    default:
      return nullptr;
  }
}

}  // namespace

int64_t attention_workspace(const PagedAttentionArgs& args, const AttentionExtent& extent) {
  const Partials parts = partials(args, extent, nullptr);
  if (parts.splits <= 1) return 0;
  return int64_t{args.num_sequences} * parts.splits * parts.kv_heads * parts.rows_of_group *
         parts.width;
}

void paged_attention(const PagedAttentionArgs& args, const AttentionExtent& extent,
                     float* workspace, Stream stream) {
  if (args.num_sequences == 0) return;
  if (const auto run = tiles_for(args)) return run(args, extent, workspace, stream);
  run_plain(args, extent, stream);
}

}  // namespace saccade::kernels::cuda
