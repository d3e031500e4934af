#pragma once

// Decode: one query of a sequence against a split of its keys, the heads of a group together, so
// that each key and value is read from memory once.

#include <type_traits>

#include "engine/kernels/cpu/attention_plan.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/score_unit.h"
#include "engine/kernels/cpu/value_unit.h"

namespace saccade::kernels::SACCADE_ISA {

// Keys whose products with all heads of a pass stay in registers.
inline constexpr int kKeysTogether = kRegisters / 8;
// Vectors that hold the products of kLanes keys once they are folded.
inline constexpr int kFolds = kLanes / kKeysTogether;

// The lanes of kKeysTogether vectors added up until one vector holds what is left of them; sums_of
// knows which lane belongs to which.
static inline Vec fold(const Vec (&rows)[kKeysTogether]) {
#if defined(__AVX512F__)
  const auto pair = [](Vec x, Vec y) {
    return _mm512_unpacklo_ps((__m512)x, (__m512)y) + _mm512_unpackhi_ps((__m512)x, (__m512)y);
  };
  const auto first = (__m512d)pair(rows[0], rows[1]), second = (__m512d)pair(rows[2], rows[3]);
  return (Vec)_mm512_unpacklo_pd(first, second) + (Vec)_mm512_unpackhi_pd(first, second);
#elif defined(__AVX2__)
  return (Vec)_mm256_hadd_ps((__m256)rows[0], (__m256)rows[1]);
#else
  return Vec{rows[0][0] + rows[0][2], rows[0][1] + rows[0][3], rows[1][0] + rows[1][2],
             rows[1][1] + rows[1][3]};
#endif
}

// The sums of kLanes vectors, one per lane, of which `folds` holds kKeysTogether each.
static inline Vec sums_of(const Vec (&folds)[kFolds]) {
#if defined(__AVX512F__)
  const auto halves = [](Vec x, Vec y) {
    return _mm512_shuffle_f32x4((__m512)x, (__m512)y, 0x44) +
           _mm512_shuffle_f32x4((__m512)x, (__m512)y, 0xee);
  };
  const __m512 first = halves(folds[0], folds[1]), second = halves(folds[2], folds[3]);
  return (Vec)(_mm512_shuffle_f32x4(first, second, 0x88) +
               _mm512_shuffle_f32x4(first, second, 0xdd));
#elif defined(__AVX2__)
  const __m256 low = _mm256_hadd_ps((__m256)folds[0], (__m256)folds[1]);
  const __m256 high = _mm256_hadd_ps((__m256)folds[2], (__m256)folds[3]);
  return (Vec)(_mm256_permute2f128_ps(low, high, 0x20) + _mm256_permute2f128_ps(low, high, 0x31));
#else
  return Vec{folds[0][0] + folds[0][1], folds[0][2] + folds[0][3], folds[1][0] + folds[1][1],
             folds[1][2] + folds[1][3]};
#endif
}

// Query heads of one pass over the keys, and over the values.
inline constexpr int kHeadsTogether = 4;

// folds[h][at]: q of head h . the keys, folded, for H heads. A key that is read serves all of them.
// q [H][pieces]. kDim: the head dimension, 0 when known at run time only.
template <typename K, int kDim, int H>
static inline void multiply_keys(const QueryPiece<K>* q, const K* const (&keys)[kKeysTogether],
                                 int head_dim, int at, Vec (&folds)[H][kFolds]) {
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
    Vec products[kKeysTogether];
#pragma GCC unroll 4
    for (int i = 0; i < kKeysTogether; ++i) products[i] = Unit::as_float(sums[h][i]);
    folds[h][at] = fold(products);
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
    Vec folds[H][kFolds];
    const K* keys[kKeysTogether];
    for (int at = 0; at < kFolds; ++at) {
      for (int j = 0; j < kKeysTogether; ++j) {
        const int key = min_of(first + at * kKeysTogether + j, run.count - 1);
        keys[j] = run.data + static_cast<int64_t>(d) * key;
      }
      fetch(next, fetched, fetched + kKeysTogether, d);
      fetched += kKeysTogether;
      multiply_keys<K, kDim, H>(q, keys, head_dim, at, folds);
    }
    const int n = min_of(kLanes, run.count - first);
    for (int h = 0; h < H; ++h) {
      Vec sums = sums_of(folds[h]) * scales[h];
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

// The run of keys or values, whichever `run_at` gives, that lies `behind` positions behind the
// first one of a task; none where there is no such task or run.
template <typename K, class RunAt>
static inline KeyRun<K> run_behind(const PagedAttentionArgs& args, const RunAt& run_at,
                                   const AttentionTask* task, int behind) {
  if (task == nullptr) return {nullptr, 0};
  const int position = task->begin + behind / args.block_size * args.block_size;
  if (position >= task->end) return {nullptr, 0};
  return run_at(args, args.sequences[task->sequence], task->kv_head, position, task->end);
}

// scores [group][kSplitKeys] of all keys of a task. q [group][pieces], scales [group].
template <typename K, int kDim>
static inline void score_task(const PagedAttentionArgs& args, const PagedSequence& sequence,
                              const AttentionTask& task, const QueryPiece<K>* q,
                              const float* scales, int pieces, int group, float* scores) {
  float* to = scores;
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
                               : run_behind<K>(args, values_at<K>, &task, ahead - task.end);
    if constexpr (kScaled<K>) __builtin_prefetch(next.scales);
    for_heads(group, [&](auto heads, int head) {
      score_run<K, kDim, heads>(q + head * pieces, scales + head, run,
                                head == 0 ? next : KeyRun<K>{run.data, 0}, args.head_dim,
                                to + head * kSplitKeys);
    });
    to += run.count;
  }
}

// Weights of a head lie this far behind those of the one before.
template <typename K>
inline constexpr int kWeightStride = kSplitKeys * sizeof(float) /
                                     sizeof(typename ValueUnit<K>::Weight);

// out[h][c..] = sum over keys of weights[h][i] * value i, for H heads and kUnits vectors of values
// from `column` of the head dimension on; the last one may be cut to `tail` elements. `fetches`: it
// is the first to read these values.
template <typename K, int H, int kUnits>
static inline void add_values(const PagedAttentionArgs& args, const PagedSequence& sequence,
                              const AttentionTask& task,
                              const typename ValueUnit<K>::Weight* weights, int column, int tail,
                              bool fetches, float* out) {
  using Unit = ValueUnit<K>;
  constexpr int kElements = Unit::kElements;
  const int d = args.head_dim;
  typename Unit::Sums sums[H][kUnits] = {};
  for (int key = task.begin; key < task.end;) {
    const KeyRun<K> run = values_at<K>(args, sequence, task.kv_head, key, task.end);
    const int behind = key + run.count, ahead = behind + args.block_size;
    KeyRun<K> next = {run.data, 0};
    if (fetches) {
      next = ahead < task.end ? values_at<K>(args, sequence, task.kv_head, ahead, task.end)
                              : run_behind<K>(args, keys_at<K>, task.next, ahead - task.end);
    }
    const auto* weight = weights + (key - task.begin);
    const auto add = [&](int i, int keys) {
      fetch(next, i, i + keys, d);
      const K* value = run.data + static_cast<int64_t>(i) * d + column;
#pragma GCC unroll 8
      for (int u = 0; u < kUnits; ++u) {
        const auto values =
            Unit::load(value + u * kElements, d, keys, u + 1 < kUnits ? kElements : tail);
#pragma GCC unroll 4
        for (int h = 0; h < H; ++h) {
          Unit::multiply_add(values, Unit::weight(weight + h * kWeightStride<K> + i, keys),
                             sums[h][u]);
        }
      }
    };
    int i = 0;
    for (; i + Unit::kKeys <= run.count; i += Unit::kKeys) add(i, Unit::kKeys);
    if (i < run.count) add(i, 1);
    key = behind;
  }
  for (int h = 0; h < H; ++h) {
    float* to = out + static_cast<int64_t>(h) * d + column;
    for (int u = 0; u < kUnits; ++u) {
      Unit::store(to + u * kElements, sums[h][u], u + 1 < kUnits ? kElements : tail);
    }
  }
}

// Vectors of values whose sums of H heads stay in registers: a power of two.
template <typename K, int H>
constexpr int units_together() {
  int units = 4;
  while (units > 1 && units * H * ValueUnit<K>::kParts > kRegisters * 3 / 4) units /= 2;
  return units;
}

// The head dimension from `column` on, kUnits vectors at a time and at last fewer.
template <typename K, int H, int kUnits>
static inline void add_columns(const PagedAttentionArgs& args, const PagedSequence& sequence,
                               const AttentionTask& task,
                               const typename ValueUnit<K>::Weight* weights, int column,
                               bool fetches, float* out) {
  constexpr int kElements = ValueUnit<K>::kElements;
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

// weights [group][kSplitKeys], which do not survive it.
template <typename K>
static inline void add_values_of_group(const PagedAttentionArgs& args,
                                       const PagedSequence& sequence, const AttentionTask& task,
                                       float* weights, int group, float* out) {
  const int keys = task.end - task.begin;
  for (int h = 0; h < group; ++h) ValueUnit<K>::convert(weights + h * kSplitKeys, keys);
  for_heads(group, [&](auto heads, int head) {
    add_columns<K, heads, units_together<K, heads>()>(
        args, sequence, task,
        reinterpret_cast<const typename ValueUnit<K>::Weight*>(weights + head * kSplitKeys), 0,
        head == 0, out + static_cast<int64_t>(head) * args.head_dim);
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
