#pragma once

// Decode: one query of a sequence against a split of its keys, the heads of a group together, so
// that each key and value is read from memory once.

#include "engine/kernels/cpu/attention_plan.h"
#include "engine/kernels/cpu/kernel_table.h"

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

// How q meets keys of type T: float lanes, or pairs of bf16 where the machine multiplies those.
template <typename T>
struct ScoreUnit {
  static constexpr int kElements = kLanes;  // of T per vector
  static inline Vec multiply_add(Vec q, const T* key, Vec sum) { return q * load(key) + sum; }
  static inline Vec multiply_add_part(Vec q, const T* key, int n, Vec sum) {
    return q * load_part(key, n) + sum;
  }
  static inline Vec load_query(const T* q, int n) { return load_part(q, n); }
};

#if defined(__AVX512BF16__)
template <>
struct ScoreUnit<Bf16> {
  static constexpr int kElements = 2 * kLanes;
  static inline Vec multiply_add(Vec q, const Bf16* key, Vec sum) {
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)q, (__m512bh)_mm512_loadu_si512(key));
  }
  static inline Vec multiply_add_part(Vec q, const Bf16* key, int n, Vec sum) {
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)q, (__m512bh)load_query(key, n));
  }
  static inline Vec load_query(const Bf16* q, int n) {
    const __mmask32 mask = n >= 32 ? ~0u : (1u << n) - 1;
    return (Vec)_mm512_maskz_loadu_epi16(mask, q);
  }
};
#endif

// scores[i] = scale * q . key i for kLanes keys. kDim: the head dimension, 0 when known at run time
// only. Where fewer than kLanes keys are left, the last one stands in for those behind it.
template <typename T, int kDim, bool kAll>
static inline Vec score_keys(const Vec* q, const T* keys, int left, int head_dim) {
  using Unit = ScoreUnit<T>;
  const int d = kDim > 0 ? kDim : head_dim;
  const int whole = d / Unit::kElements;
  const int rest = d % Unit::kElements;
  const auto row = [&](int i) -> const T* {
    return keys + static_cast<int64_t>(kAll ? i : min_of(i, left - 1)) * d;
  };
  Vec sums[kLanes] = {};
  for (int c = 0; c < whole; ++c) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      sums[i] = Unit::multiply_add(q[c], row(i) + c * Unit::kElements, sums[i]);
    }
  }
  if (rest > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      sums[i] = Unit::multiply_add_part(q[whole], row(i) + whole * Unit::kElements, rest, sums[i]);
    }
  }
  return sums_of(sums);
}

// scores[i] = scale * q . key i, for the `count` keys of a run. q: vectors as load_query gives
// them.
template <typename T, int kDim>
static inline void score_run(const Vec* q, const T* keys, int count, int head_dim, float scale,
                             float* scores) {
  int first = 0;
  for (; first + kLanes <= count; first += kLanes) {
    const T* from = keys + static_cast<int64_t>(first) * head_dim;
    store(scores + first, score_keys<T, kDim, true>(q, from, kLanes, head_dim) * scale);
  }
  if (const int left = count - first; left > 0) {
    const T* from = keys + static_cast<int64_t>(first) * head_dim;
    store_part(scores + first, score_keys<T, kDim, false>(q, from, left, head_dim) * scale, left);
  }
}

// scores [group][kSplitKeys] of all keys of a task.
template <typename T, int kDim>
static inline void score_task(const PagedAttentionArgs& args, const PagedSequence& sequence,
                              const AttentionTask& task, const Vec* queries, int query_vecs,
                              int group, float* scores) {
  for (int key = task.begin; key < task.end;) {
    const KeyRun<T> run = run_at<T>(args, sequence, args.k_pool, task.kv_head, key, task.end);
    const int next = key + run.count;
    fetch(next < task.end
              ? run_at<T>(args, sequence, args.k_pool, task.kv_head, next, task.end)
              : run_at<T>(args, sequence, args.v_pool, task.kv_head, task.begin, task.end),
          args.head_dim);
    for (int h = 0; h < group; ++h) {
      score_run<T, kDim>(queries + h * query_vecs, run.data, run.count, args.head_dim, args.scale,
                         scores + h * kSplitKeys + (key - task.begin));
    }
    key = next;
  }
}

// out[h][c..] += sum over keys of weights[h][i] * value i, for H heads and kVecs vectors of the
// head dimension from `column` on; the last vector may be cut to `tail` elements.
template <typename T, int H, int kVecs>
static inline void add_values(const PagedAttentionArgs& args, const PagedSequence& sequence,
                              const AttentionTask& task, const float* weights, int column, int tail,
                              float* out) {
  Vec sums[H][kVecs];
  for (int h = 0; h < H; ++h) {
    for (int v = 0; v < kVecs; ++v) sums[h][v] = splat(0);
  }
  for (int key = task.begin; key < task.end;) {
    const KeyRun<T> run = run_at<T>(args, sequence, args.v_pool, task.kv_head, key, task.end);
    const int next = key + run.count;
    if (next < task.end) {
      fetch(run_at<T>(args, sequence, args.v_pool, task.kv_head, next, task.end), args.head_dim);
    }
    const float* weight = weights + (key - task.begin);
    const T* value = run.data + column;
    for (int i = 0; i < run.count; ++i, value += args.head_dim) {
      Vec values[kVecs];
      for (int v = 0; v + 1 < kVecs; ++v) values[v] = load(value + v * kLanes);
      values[kVecs - 1] = load_part(value + (kVecs - 1) * kLanes, tail);
      for (int h = 0; h < H; ++h) {
        const float w = weight[h * kSplitKeys + i];
        for (int v = 0; v < kVecs; ++v) sums[h][v] = values[v] * w + sums[h][v];
      }
    }
    key = next;
  }
  for (int h = 0; h < H; ++h) {
    float* to = out + static_cast<int64_t>(h) * args.head_dim + column;
    for (int v = 0; v + 1 < kVecs; ++v) store(to + v * kLanes, sums[h][v]);
    store_part(to + (kVecs - 1) * kLanes, sums[h][kVecs - 1], tail);
  }
}

template <typename T, int H>
static inline void add_values_of_heads(const PagedAttentionArgs& args,
                                       const PagedSequence& sequence, const AttentionTask& task,
                                       const float* weights, float* out) {
  for (int column = 0; column < args.head_dim;) {
    const int left = args.head_dim - column;
    if (left >= 4 * kLanes) {
      add_values<T, H, 4>(args, sequence, task, weights, column, kLanes, out);
      column += 4 * kLanes;
    } else {
      const int tail = min_of(left, kLanes);
      add_values<T, H, 1>(args, sequence, task, weights, column, tail, out);
      column += tail;
    }
  }
}

// Heads whose sums over four vectors stay in registers.
inline constexpr int kHeadsTogether = kRegisters == 32 ? 4 : 2;

template <typename T>
static inline void add_values_of_group(const PagedAttentionArgs& args,
                                       const PagedSequence& sequence, const AttentionTask& task,
                                       const float* weights, int group, float* out) {
  for (int head = 0; head < group;) {
    const int together = min_of(kHeadsTogether, group - head);
    const float* from = weights + head * kSplitKeys;
    float* to = out + static_cast<int64_t>(head) * args.head_dim;
    if (together == 4) add_values_of_heads<T, 4>(args, sequence, task, from, to);
    if (together == 3) add_values_of_heads<T, 3>(args, sequence, task, from, to);
    if (together == 2) add_values_of_heads<T, 2>(args, sequence, task, from, to);
    if (together == 1) add_values_of_heads<T, 1>(args, sequence, task, from, to);
    head += together;
  }
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

template <typename T>
static void decode_task(const PagedAttentionArgs& args, const AttentionTask& task,
                        float* partials) {
  using Unit = ScoreUnit<T>;
  const PagedSequence& sequence = args.sequences[task.sequence];
  const int group = args.heads / args.kv_heads;
  const int d = args.head_dim;
  const int query_vecs = (d + Unit::kElements - 1) / Unit::kElements;
  const T* q = static_cast<const T*>(args.q) + sequence.query_start * args.q_stride +
               static_cast<int64_t>(task.kv_head) * group * d;
  auto* queries =
      static_cast<Vec*>(thread_scratch(ScratchSlot::kQueries, sizeof(Vec) * group * query_vecs));
  auto* scores =
      static_cast<float*>(thread_scratch(ScratchSlot::kScores, sizeof(float) * group * kSplitKeys));
  for (int h = 0; h < group; ++h) {
    for (int c = 0; c < query_vecs; ++c) {
      const int n = min_of(Unit::kElements, d - c * Unit::kElements);
      queries[h * query_vecs + c] = Unit::load_query(q + h * d + c * Unit::kElements, n);
    }
  }
  if (d == 64) {
    score_task<T, 64>(args, sequence, task, queries, query_vecs, group, scores);
  } else if (d == 128) {
    score_task<T, 128>(args, sequence, task, queries, query_vecs, group, scores);
  } else {
    score_task<T, 0>(args, sequence, task, queries, query_vecs, group, scores);
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
  if (task.partial >= 0) {
    float* partial = partials + task.partial * partial_floats(args);
    for (int h = 0; h < group; ++h) {
      partial[2 * h] = states[h].maximum;
      partial[2 * h + 1] = states[h].sum;
    }
    return add_values_of_group<T>(args, sequence, task, scores, group, partial + 2 * group);
  }
  auto* values =
      static_cast<float*>(thread_scratch(ScratchSlot::kOutput, sizeof(float) * group * d));
  add_values_of_group<T>(args, sequence, task, scores, group, values);
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
