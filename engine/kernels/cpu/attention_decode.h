#pragma once

// Decode: one query of a sequence against a split of its keys, the heads of a group together, so
// that each key and value is read from memory once.

#include <type_traits>

#include "engine/kernels/cpu/attention_plan.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/score_unit.h"

namespace saccade::kernels::SACCADE_ISA {

// The sums of kLanes vectors, one per lane.
static inline Vec sums_of(const Vec (&rows)[kLanes]) {
#if defined(__AVX512F__)
  __m512 a[8];
  for (int i = 0; i < 8; ++i) {
    const __m512 x = (__m512)rows[i];
    const __m512 y = (__m512)rows[i + 8];
    a[i] = _mm512_shuffle_f32x4(x, y, 0x44) + _mm512_shuffle_f32x4(x, y, 0xee);
  }
  __m512 b[4];
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0x88) + _mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd);
  }
  const __m512 even = _mm512_unpacklo_ps(b[0], b[2]) + _mm512_unpackhi_ps(b[0], b[2]);
  const __m512 odd = _mm512_unpacklo_ps(b[1], b[3]) + _mm512_unpackhi_ps(b[1], b[3]);
  const __m512 sums = _mm512_unpacklo_ps(even, odd) + _mm512_unpackhi_ps(even, odd);
  return (Vec)_mm512_shuffle_f32x4(sums, sums, 0xd8);  // lanes hold rows 0, 8, 4, 12
#elif defined(__AVX2__)
  __m256 pairs[4];
  for (int i = 0; i < 4; ++i)
    pairs[i] = _mm256_hadd_ps((__m256)rows[2 * i], (__m256)rows[2 * i + 1]);
  const __m256 low = _mm256_hadd_ps(pairs[0], pairs[1]);
  const __m256 high = _mm256_hadd_ps(pairs[2], pairs[3]);
  return (Vec)(_mm256_permute2f128_ps(low, high, 0x20) + _mm256_permute2f128_ps(low, high, 0x31));
#else
  Vec out;
  for (int i = 0; i < kLanes; ++i) out[i] = reduce_add(rows[i]);
  return out;
#endif
}

// Keys whose products with all heads of a pass stay in registers.
inline constexpr int kKeysTogether = kRegisters / 8;
// Query heads of one pass over the keys, and over the values.
inline constexpr int kHeadsTogether = 4;

// products[h][first + i]: vectors whose lanes add up to q of head h . key i, for H heads. A key
// that is read serves all of them. q [H][pieces]. kDim: the head dimension, 0 when known at run
// time only.
template <typename K, int kDim, int H>
static inline void multiply_keys(const QueryPiece<K>* q, const K* const (&keys)[kKeysTogether],
                                 int head_dim, int first, Vec (&products)[H][kLanes]) {
  using Unit = ScoreUnit<K>;
  const int d = kDim > 0 ? kDim : head_dim;
  const int whole = d / Unit::kElements;
  const int rest = d % Unit::kElements;
  const int pieces = whole + (rest > 0 ? 1 : 0);
  typename Unit::Sum sums[H][kKeysTogether] = {};
  const auto add = [&](int c, const QueryPiece<K>(&key)[kKeysTogether]) {
#pragma GCC unroll 4
    for (int h = 0; h < H; ++h) {
      const QueryPiece<K> piece = q[h * pieces + c];
#pragma GCC unroll 4
      for (int i = 0; i < kKeysTogether; ++i) {
        sums[h][i] = Unit::multiply_add(piece, key[i], sums[h][i]);
      }
    }
  };
  QueryPiece<K> key[kKeysTogether];
  for (int c = 0; c < whole; ++c) {
#pragma GCC unroll 4
    for (int i = 0; i < kKeysTogether; ++i) {
      key[i] = Unit::load_piece(keys[i] + c * Unit::kElements);
    }
    add(c, key);
  }
  if (rest > 0) {
    for (int i = 0; i < kKeysTogether; ++i) {
      key[i] = Unit::load_piece_part(keys[i] + whole * Unit::kElements, rest);
    }
    add(whole, key);
  }
#pragma GCC unroll 4
  for (int h = 0; h < H; ++h) {
#pragma GCC unroll 4
    for (int i = 0; i < kKeysTogether; ++i) products[h][first + i] = Unit::as_float(sums[h][i]);
  }
}

// scores[h][i] = scales[h] * q of head h . key i, for H heads and the keys of a run, while `next`
// is brought nearer. q as load_query gives it, [H][pieces]; scores [H][kSplitKeys].
template <typename K, int kDim, int H>
static inline void score_run(const QueryPiece<K>* q, const float* scales, const KeyRun<K>& run,
                             const KeyRun<K>& next, int head_dim, float* scores) {
  const int d = kDim > 0 ? kDim : head_dim;
  int fetched = 0;
  for (int first = 0; first < run.count; first += kLanes) {
    // Where fewer keys are left than are taken together, the last one stands in for those behind.
    Vec products[H][kLanes];
    const K* keys[kKeysTogether];
    for (int i = 0; i < kLanes; i += kKeysTogether) {
      for (int j = 0; j < kKeysTogether; ++j) {
        keys[j] = run.data + static_cast<int64_t>(d) * min_of(first + i + j, run.count - 1);
      }
      fetch(next, fetched, fetched + kKeysTogether, d);
      fetched += kKeysTogether;
      multiply_keys<K, kDim, H>(q, keys, head_dim, i, products);
    }
    const int n = min_of(kLanes, run.count - first);
    for (int h = 0; h < H; ++h) {
      Vec sums = sums_of(products[h]) * scales[h];
      if constexpr (kScaled<K>) sums *= load_part(run.scales + first, n);
      store_part(scores + h * kSplitKeys + first, sums, n);
    }
  }
  fetch(next, fetched, next.count, d);
}

// Calls visit(std::integral_constant H)(first head) for the heads of a group, kHeadsTogether at a
// time.
template <class Visit>
static inline void for_heads(int group, const Visit& visit) {
  for (int head = 0; head < group; head += kHeadsTogether) {
    const int together = min_of(kHeadsTogether, group - head);
    if (together == 4) visit(std::integral_constant<int, 4>(), head);
    if (together == 3) visit(std::integral_constant<int, 3>(), head);
    if (together == 2) visit(std::integral_constant<int, 2>(), head);
    if (together == 1) visit(std::integral_constant<int, 1>(), head);
  }
}

// scores [group][kSplitKeys] of all keys of a task. q [group][pieces], scales [group].
template <typename K, int kDim>
static inline void score_task(const PagedAttentionArgs& args, const PagedSequence& sequence,
                              const AttentionTask& task, const QueryPiece<K>* q,
                              const float* scales, int pieces, int group, float* scores) {
  float* to = scores;
  // The run of values that lies `behind` positions behind their first one.
  const auto first_values = [&](int behind) {
    const int position = task.begin + behind / args.block_size * args.block_size;
    return position < task.end ? values_at<K>(args, sequence, task.kv_head, position, task.end)
                               : KeyRun<K>{nullptr, 0};
  };
  for (int key = task.begin; key < task.end;) {
    const KeyRun<K> run = keys_at<K>(args, sequence, task.kv_head, key, task.end);
    if constexpr (kScaled<K>) {
      __builtin_prefetch(values_at<K>(args, sequence, task.kv_head, key, task.end).scales);
    }
    key += run.count;
    // Memory takes about as long as the products of one run: the one behind the next.
    const int ahead = key + args.block_size;
    const KeyRun<K> next = ahead < task.end
                               ? keys_at<K>(args, sequence, task.kv_head, ahead, task.end)
                               : first_values(ahead - task.end);
    if constexpr (kScaled<K>) __builtin_prefetch(next.scales);
    for_heads(group, [&](auto heads, int head) {
      score_run<K, kDim, heads>(q + head * pieces, scales + head, run,
                                head == 0 ? next : KeyRun<K>{run.data, 0}, args.head_dim,
                                to + head * kSplitKeys);
    });
    to += run.count;
  }
}

// out[h][c..] = sum over keys of weights[h][i] * value i, for H heads and kUnits vectors of values
// from `column` of the head dimension on; the last one may be cut to `tail` elements. `fetches`: it
// is the first to read these values.
template <typename K, int H, int kUnits>
static inline void add_values(const PagedAttentionArgs& args, const PagedSequence& sequence,
                              const AttentionTask& task, const float* weights, int column, int tail,
                              bool fetches, float* out) {
  constexpr int kParts = Wide<K>::kParts;
  constexpr int kElements = Wide<K>::kElements;
  Wide<K> sums[H][kUnits] = {};
  for (int key = task.begin; key < task.end;) {
    const KeyRun<K> run = values_at<K>(args, sequence, task.kv_head, key, task.end);
    const int behind = key + run.count, ahead = behind + args.block_size;
    const KeyRun<K> next = fetches && ahead < task.end
                               ? values_at<K>(args, sequence, task.kv_head, ahead, task.end)
                               : KeyRun<K>{run.data, 0};
    const float* weight = weights + (key - task.begin);
    const K* value = run.data + column;
    for (int i = 0; i < run.count; ++i, value += args.head_dim) {
      fetch(next, i, i + 1, args.head_dim);
#pragma GCC unroll 8
      for (int u = 0; u < kUnits; ++u) {
        const Wide<K> wide = u + 1 < kUnits ? load_wide(value + u * kElements)
                                            : load_wide_part(value + u * kElements, tail);
#pragma GCC unroll 4
        for (int h = 0; h < H; ++h) {
          const float w = weight[h * kSplitKeys + i];
          for (int p = 0; p < kParts; ++p) {
            sums[h][u].parts[p] = wide.parts[p] * w + sums[h][u].parts[p];
          }
        }
      }
    }
    key = behind;
  }
  for (int h = 0; h < H; ++h) {
    float* to = out + static_cast<int64_t>(h) * args.head_dim + column;
    for (int u = 0; u < kUnits; ++u) {
      store_wide(to + u * kElements, sums[h][u], u + 1 < kUnits ? kElements : tail);
    }
  }
}

// Vectors of values whose sums of H heads stay in registers: a power of two.
template <typename K, int H>
constexpr int units_together() {
  int units = 4;
  while (units > 1 && units * H * Wide<K>::kParts > kRegisters * 3 / 4) units /= 2;
  return units;
}

// The head dimension from `column` on, kUnits vectors at a time and at last fewer.
template <typename K, int H, int kUnits>
static inline void add_columns(const PagedAttentionArgs& args, const PagedSequence& sequence,
                               const AttentionTask& task, const float* weights, int column,
                               bool fetches, float* out) {
  constexpr int kElements = Wide<K>::kElements;
  for (; args.head_dim - column >= kUnits * kElements; column += kUnits * kElements) {
    add_values<K, H, kUnits>(args, sequence, task, weights, column, kElements,
                             fetches && column == 0, out);
  }
  if constexpr (kUnits > 1) {
    add_columns<K, H, kUnits / 2>(args, sequence, task, weights, column, fetches, out);
  } else if (const int left = args.head_dim - column; left > 0) {
    add_values<K, H, 1>(args, sequence, task, weights, column, left, fetches && column == 0, out);
  }
}

template <typename K>
static inline void add_values_of_group(const PagedAttentionArgs& args,
                                       const PagedSequence& sequence, const AttentionTask& task,
                                       const float* weights, int group, float* out) {
  for_heads(group, [&](auto heads, int head) {
    add_columns<K, heads, units_together<K, heads>()>(
        args, sequence, task, weights + head * kSplitKeys, 0, head == 0,
        out + static_cast<int64_t>(head) * args.head_dim);
  });
}

// scores -> e^(score - maximum) in place; returns maximum and sum.
struct SoftmaxState {
  float maximum;
  float sum;
};
static inline SoftmaxState exponentiate(float* scores, int count) {
  const float maximum = group_max(scores, count);
  Vec sums = splat(0);
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vec e = vexp(load(scores + i) - maximum);
    store(scores + i, e);
    sums += e;
  }
  float sum = reduce_add(sums);
  if (i < count) {
    float rest[kLanes];
    store(rest, vexp(load_part(scores + i, count - i) - maximum));
    for (int j = 0; j < count - i; ++j) {
      scores[i + j] = rest[j];
      sum += rest[j];
    }
  }
  return {maximum, sum};
}

template <typename T>
static inline void write_output(T* out, const float* values, int head_dim, float factor) {
  for (int c = 0; c < head_dim; c += kLanes) {
    const int n = min_of(kLanes, head_dim - c);
    store_part(out + c, load_part(values + c, n) * factor, n);
  }
}

// weights [group][kSplitKeys] of the keys of a task, each times its value's scale.
template <typename K>
static inline void scale_weights(const PagedAttentionArgs& args, const PagedSequence& sequence,
                                 const AttentionTask& task, int group, float* weights) {
  for (int key = task.begin; key < task.end;) {
    const KeyRun<K> run = values_at<K>(args, sequence, task.kv_head, key, task.end);
    for (int h = 0; h < group; ++h) {
      apply_scales(weights + h * kSplitKeys + (key - task.begin), run.scales, run.count);
    }
    key += run.count;
  }
}

// T: of queries and output, K: of the pools.
template <typename T, typename K>
static void decode_task(const PagedAttentionArgs& args, const AttentionTask& task,
                        float* partials) {
  using Unit = ScoreUnit<K>;
  const PagedSequence& sequence = args.sequences[task.sequence];
  const int group = args.heads / args.kv_heads;
  const int d = args.head_dim;
  const int pieces = (d + Unit::kElements - 1) / Unit::kElements;
  const T* q = static_cast<const T*>(args.q) + sequence.query_start * args.q_stride +
               static_cast<int64_t>(task.kv_head) * group * d;
  auto* queries = static_cast<QueryPiece<K>*>(
      thread_scratch(ScratchSlot::kQueries, sizeof(QueryPiece<K>) * group * pieces));
  auto* scores =
      static_cast<float*>(thread_scratch(ScratchSlot::kScores, sizeof(float) * group * kSplitKeys));
  float scales[kMaxGroup];
  for (int h = 0; h < group; ++h) {
    scales[h] = args.scale * load_query<K>(q + h * d, d, queries + h * pieces);
  }
  if (d == 64) {
    score_task<K, 64>(args, sequence, task, queries, scales, pieces, group, scores);
  } else if (d == 128) {
    score_task<K, 128>(args, sequence, task, queries, scales, pieces, group, scores);
  } else {
    score_task<K, 0>(args, sequence, task, queries, scales, pieces, group, scores);
  }
  SoftmaxState states[kMaxGroup];
  for (int h = 0; h < group; ++h) {
    if (args.soft_cap > 0) {
      cap_scores(scores + h * kSplitKeys, task.end - task.begin, 1.0f, args.soft_cap);
    }
    if (args.alibi_slopes != nullptr) {
      add_alibi(scores + h * kSplitKeys, task.end - task.begin, 1.0f,
                args.alibi_slopes[task.kv_head * group + h],
                task.begin - (sequence.context_length - 1));
    }
    states[h] = exponentiate(scores + h * kSplitKeys, task.end - task.begin);
  }
  if constexpr (kScaled<K>) scale_weights<K>(args, sequence, task, group, scores);
  if (task.partial >= 0) {
    float* partial = partials + task.partial * partial_floats(args);
    for (int h = 0; h < group; ++h) {
      partial[2 * h] = states[h].maximum;
      partial[2 * h + 1] = states[h].sum;
    }
    return add_values_of_group<K>(args, sequence, task, scores, group, partial + 2 * group);
  }
  auto* values =
      static_cast<float*>(thread_scratch(ScratchSlot::kOutput, sizeof(float) * group * d));
  add_values_of_group<K>(args, sequence, task, scores, group, values);
  T* out = static_cast<T*>(args.out) + sequence.query_start * args.out_stride +
           static_cast<int64_t>(task.kv_head) * group * d;
  for (int h = 0; h < group; ++h) {
    write_output(out + h * d, values + h * d, d, 1.0f / states[h].sum);
  }
}

// Adds the splits [first, first + count) of one (sequence, kv head) up and writes the result.
template <typename T>
static void combine_splits(const PagedAttentionArgs& args, const AttentionTask& task,
                           const float* partials, int count) {
  const int group = args.heads / args.kv_heads;
  const int d = args.head_dim;
  const int64_t stride = partial_floats(args);
  const float* first = partials + task.partial * stride;
  T* out = static_cast<T*>(args.out) + args.sequences[task.sequence].query_start * args.out_stride +
           static_cast<int64_t>(task.kv_head) * group * d;
  auto* values = static_cast<float*>(thread_scratch(ScratchSlot::kOutput, sizeof(float) * d));
  for (int h = 0; h < group; ++h) {
    float maximum = first[2 * h];
    for (int s = 1; s < count; ++s) maximum = max_of(maximum, first[s * stride + 2 * h]);
    float sum = 0;
    for (int c = 0; c < d; ++c) values[c] = 0;
    for (int s = 0; s < count; ++s) {
      const float* partial = first + s * stride;
      const float factor = vexp(splat(partial[2 * h] - maximum))[0];
      sum += partial[2 * h + 1] * factor;
      const float* from = partial + 2 * group + h * d;
      for (int c = 0; c < d; ++c) values[c] += from[c] * factor;
    }
    write_output(out + h * d, values, d, 1.0f / sum);
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
