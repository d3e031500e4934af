#pragma once

// Prefill: a tile of queries (all heads of a group) against the keys they see, 64 at a time, with a
// running softmax. Everything is computed with keys down and queries across: scores [keys,
// queries], so that the lanes of a vector are queries and a softmax needs no sum or maximum over
// lanes, and weighted values [head_dim, queries].

#include "engine/kernels/cpu/attention_plan.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/tile_unit.h"
#if defined(__AMX_BF16__)
#include "engine/kernels/cpu/amx_tiles.h"
#endif

namespace saccade::kernels::SACCADE_ISA {

inline constexpr int kTileKeys = 64;

// One thread's work on one query tile. T: of queries and output, K: of the pools.
template <typename T, typename K>
class QueryTile {
 public:
  using Unit = typename TileUnitOf<T>::Type;

  QueryTile(const PagedAttentionArgs& args, const AttentionTask& task)
      : args_(args),
        task_(task),
        sequence_(args.sequences[task.sequence]),
        group_(args.heads / args.kv_heads),
        rows_((task.end - task.begin) * group_),
        strips_((rows_ + kStrip - 1) / kStrip),
        depth_(whole_steps(args.head_dim)),
        first_position_(sequence_.context_length - sequence_.query_length) {
    const int64_t d = args.head_dim;
    queries_ = scratch<uint32_t>(ScratchSlot::kQueries, int64_t{strips_} * depth_ * kStrip * 4);
    output_ = scratch<float>(ScratchSlot::kOutput, int64_t{strips_} * d * kStrip * 4);
    rows_state_ = scratch<RowState>(ScratchSlot::kRows, strips_ * sizeof(RowState));
    keys_ = scratch<uint32_t>(ScratchSlot::kKeys, int64_t{kTileKeys} * depth_ * 4);
    values_ = scratch<uint32_t>(ScratchSlot::kValues, d * kValueSteps * 4);
    // Scores, then the weights.
    scores_ = scratch<float>(ScratchSlot::kScores, (kTileKeys + kValueSteps) * kStrip * 4);
    weights_ = reinterpret_cast<uint32_t*>(scores_ + kTileKeys * kStrip);
    if constexpr (kScaled<K>) {
      widened_ = scratch<T>(ScratchSlot::kWidened, 2 * kTileKeys * d * sizeof(T));
    }
  }

  void run() {
    for (int strip = 0; strip < strips_; ++strip) start_strip(strip);
    const int end = last_position(strips_ - 1) + 1;
    const int begin = first_visible_key(args_, position_of(0)) / kTileKeys * kTileKeys;
    for (int key = begin; key < end; key += kTileKeys) {
      gather(key, min_of(kTileKeys, end - key));
      for (int strip = 0; strip < strips_; ++strip) {
        const int count = min_of(kTileKeys, last_position(strip) + 1 - key);
        if (count > 0) add_keys(strip, key, count);
      }
    }
    for (int strip = 0; strip < strips_; ++strip) write_strip(strip);
  }

 private:
  // Of the queries of a strip, one a lane.
  struct RowState {
    float maximum[kStrip];  // of the scores, before `scale` where nothing but it changes them
    float sum[kStrip];      // of the weights
    int32_t position[kStrip];
    float slope[kStrip];  // where args.alibi_slopes is set
  };
  static constexpr int kValueSteps = kTileKeys / Unit::kPerStep;

  template <typename Element>
  static Element* scratch(ScratchSlot slot, int64_t bytes) {
    return static_cast<Element*>(thread_scratch(slot, static_cast<size_t>(bytes)));
  }

  // Steps of k that hold n elements.
  static int steps_for(int n) { return (n + Unit::kPerStep - 1) / Unit::kPerStep; }
  // The same in whole AMX tiles where those are used.
  static int whole_steps(int n) {
    const int steps = steps_for(n);
#if defined(__AMX_BF16__)
    if constexpr (kTiles) return (steps + kTileDepth - 1) / kTileDepth * kTileDepth;
#endif
    return steps;
  }

  // c [m, columns] (+)= a [m, depth] b [depth, columns]; rows of a `a_steps` apart, of b and c 32.
  void multiply(const uint32_t* a, int64_t a_steps, int64_t m, const uint32_t* b, int64_t depth,
                int columns, float* c, bool accumulate) {
    const char* rows = reinterpret_cast<const char*>(a);
    const char* right = reinterpret_cast<const char*>(b);
#if defined(__AMX_BF16__)
    if constexpr (kTiles) {
      return tiles_.multiply(rows, a_steps * 4, m, right, kStrip * 4, depth, c, kStrip, accumulate);
    }
#endif
    multiply_block<typename Unit::Multiply>(rows, a_steps * 4, m, right, kStrip * 4, depth, columns,
                                            c, kStrip, accumulate);
  }

  // Row r of the tile is query r / group, head r % group. It sees the keys up to its position.
  int position_of(int r) const {
    return args_.causal ? first_position_ + task_.begin + r / group_ : sequence_.context_length - 1;
  }
  int rows_of(int strip) const { return min_of(kStrip, rows_ - strip * kStrip); }
  // Of a strip, those that hold rows, in whole vectors.
  int columns_of(int strip) const { return (rows_of(strip) + kLanes - 1) / kLanes * kLanes; }
  int last_position(int strip) const { return position_of(strip * kStrip + rows_of(strip) - 1); }
  template <typename Pointer, typename Base>
  Pointer row_of(Base* base, int64_t stride, int r) const {
    const int64_t token = sequence_.query_start + task_.begin + r / group_;
    const int64_t head = static_cast<int64_t>(task_.kv_head) * group_ + r % group_;
    return static_cast<Pointer>(base) + token * stride + head * args_.head_dim;
  }

  void start_strip(int strip) {
    const int first = strip * kStrip, rows = rows_of(strip), d = args_.head_dim;
    RowState& state = rows_state_[strip];
    const T* queries[kStrip];
    for (int i = 0; i < kStrip; ++i) {
      const int r = first + min_of(i, rows - 1);  // lanes without a query do as the last one does
      queries[i] = row_of<const T*>(args_.q, args_.q_stride, r);
      state.maximum[i] = -__builtin_inff();
      state.sum[i] = 0;
      state.position[i] = position_of(r);
      if (args_.alibi_slopes != nullptr) {
        state.slope[i] = args_.alibi_slopes[task_.kv_head * group_ + r % group_];
      }
    }
    uint32_t* packed = queries_ + static_cast<int64_t>(strip) * depth_ * kStrip;
    const int steps = steps_for(d);
    transpose_words(kStrip, steps, packed, kStrip,
                    [&](int i, int step) { return Unit::steps_of(queries[i], step, d); });
    for (int64_t i = int64_t{steps} * kStrip; i < int64_t{depth_} * kStrip; ++i) packed[i] = 0;
    float* output = output_of(strip);
    for (int64_t i = 0; i < static_cast<int64_t>(d) * kStrip; ++i) output[i] = 0;
  }

  float* output_of(int strip) const {
    return output_ + static_cast<int64_t>(strip) * args_.head_dim * kStrip;
  }

  // Keys [key, key + count) into keys_ [count, depth] and values_ [head_dim, steps of keys];
  // numbers that are not there are zero.
  void gather(int key, int count) {
    const int d = args_.head_dim;
    const T* values[kTileKeys];
    for (int i = 0; i < count;) {
      const KeyRun<K> keys = keys_at<K>(args_, sequence_, task_.kv_head, key + i, key + count);
      const KeyRun<K> run = values_at<K>(args_, sequence_, task_.kv_head, key + i, key + count);
      for (int j = 0; j < keys.count; ++j, ++i) {
        const int64_t at = j * args_.kv_strides.key;
        copy_steps(as_stored(keys, at, 2 * i), d, keys_ + static_cast<int64_t>(i) * depth_);
        values[i] = as_stored(run, at, 2 * i + 1);
        if constexpr (kScaled<K>) {
          key_scales_[i] = keys.scales[j];
          value_scales_[i] = run.scales[j];
        }
      }
    }
    const int steps = (count + Unit::kPerStep - 1) / Unit::kPerStep;
    transpose_words(
        (steps + kLanes - 1) / kLanes * kLanes, d, values_, kValueSteps,
        [&](int step, int column) { return Unit::values_of(values, count, step, column, d); });
  }

  void copy_steps(const T* row, int d, uint32_t* to) const {
    for (int step = 0; step < depth_; step += kLanes) {
      const Vec words = Unit::steps_of(row, step, d);
      if (step + kLanes <= depth_) {
        std::memcpy(to + step, &words, sizeof words);
      } else {
        std::memcpy(to + step, &words, (depth_ - step) * sizeof(uint32_t));
      }
    }
  }

  // The row of a run that lies `at` elements behind its first, in the tile's own type, which holds
  // bytes exactly; `slot` of widened_ keeps it.
  const T* as_stored(const KeyRun<K>& run, int64_t at, int slot) const {
    if constexpr (kScaled<K>) {
      const int d = args_.head_dim;
      T* to = widened_ + static_cast<int64_t>(slot) * d;
      for (int i = 0; i < d; i += kLanes) {
        const int n = min_of(kLanes, d - i);
        store_part(to + i, load_part(run.data + at + i, n), n);
      }
      return to;
    } else {
      return run.data + at;
    }
  }

  // The first `count` keys of those gathered, of which the first is `key`, for one strip.
  void add_keys(int strip, int key, int count) {
    RowState& state = rows_state_[strip];
    const int columns = columns_of(strip);
    multiply(keys_, depth_, count, queries_ + static_cast<int64_t>(strip) * depth_ * kStrip, depth_,
             columns, scores_, false);
    const float scale = finish_scores(strip, key, count);
    const int steps = whole_steps(count);
    for (int column = 0; column < columns; column += kLanes) {
      weigh(state, column, count, steps, scale, output_of(strip));
    }
    multiply(values_, kValueSteps, args_.head_dim, weights_, steps, columns, output_of(strip),
             true);
  }

  // What changes the products before the softmax. Returns the factor that is left for it.
  float finish_scores(int strip, int key, int count) {
    const RowState& state = rows_state_[strip];
    const int n = count * kStrip;
    float scale = args_.scale;
    if constexpr (kScaled<K>) {
      for (int i = 0; i < n; i += kLanes) {
        store(scores_ + i, load(scores_ + i) * key_scales_[i / kStrip]);
      }
    }
    if (args_.soft_cap > 0) {
      cap_scores(scores_, n, scale, args_.soft_cap);
      scale = 1;
    }
    if (args_.alibi_slopes != nullptr) {
      for (int i = 0; i < n; i += kLanes) {
        const IVec distance = splat_int(key + i / kStrip) - load(state.position + i % kStrip);
        store(scores_ + i, load(scores_ + i) * scale + __builtin_convertvector(distance, Vec) *
                                                           load(state.slope + i % kStrip));
      }
      scale = 1;
    }
    const int first = position_of(strip * kStrip), last = last_position(strip);
    if (key + count - 1 > first || key < first_visible_key(args_, last)) {
      const int window = args_.sliding_window > 0 ? args_.sliding_window : last + 1;
      for (int i = 0; i < n; i += kLanes) {
        const IVec distance = load(state.position + i % kStrip) - (key + i / kStrip);
        const Vec hidden = splat(-__builtin_inff());
        const Vec score = distance < 0 ? hidden : load(scores_ + i);
        store(scores_ + i, distance < window ? score : hidden);
      }
    }
    return scale;
  }

  // Scores of kLanes rows from `column` on -> weights, with the running maximum and sum, to which
  // the strip's weighted values so far are brought.
  void weigh(RowState& state, int column, int count, int steps, float scale, float* output) {
    constexpr float kLog2E = 1.44269504f;
    const float unit = scale * kLog2E;
    const Vec before = load(state.maximum + column);
    Vec maximum = before;
    for (int i = 0; i < count; ++i) maximum = vmax(maximum, load(scores_ + i * kStrip + column));
    store(state.maximum + column, maximum);
    // A row that has seen no key yet has weights of 0.
    const Vec finite = maximum == splat(-__builtin_inff()) ? splat(0) : maximum;
    const Vec offset = finite * unit;
    Vec sums = splat(0);
    uint32_t* to = weights_ + column;
    for (int i = 0; i < steps * Unit::kPerStep; i += Unit::kPerStep, to += kStrip) {
      Vec weights[Unit::kPerStep];
      for (int j = 0; j < Unit::kPerStep; ++j) {
        if (i + j >= count) {
          weights[j] = splat(0);
          continue;
        }
        weights[j] = vexp2(load(scores_ + (i + j) * kStrip + column) * unit - offset);
        sums += weights[j];
        if constexpr (kScaled<K>) weights[j] *= value_scales_[i + j];
      }
      Unit::store_weights(to, weights);
    }
    if (!any(maximum > before)) {
      store(state.sum + column, load(state.sum + column) + sums);
      return;
    }
    const Vec factor = vexp2(before * unit - offset);
    store(state.sum + column, load(state.sum + column) * factor + sums);
    for (int i = 0; i < args_.head_dim; ++i) {
      float* at = output + static_cast<int64_t>(i) * kStrip + column;
      store(at, load(at) * factor);
    }
  }

  void write_strip(int strip) const {
    const RowState& state = rows_state_[strip];
    const float* output = output_of(strip);
    const int d = args_.head_dim, rows = rows_of(strip);
    T* out[kStrip];
    for (int i = 0; i < rows; ++i) {
      out[i] = row_of<T*>(args_.out, args_.out_stride, strip * kStrip + i);
    }
    for (int column = 0; column < rows; column += kLanes) {
      const Vec inverse = 1.0f / load(state.sum + column);
      for (int i = 0; i < d; i += kLanes) {
        const int n = min_of(kLanes, d - i);
        Vec square[kLanes];
#pragma GCC unroll 16
        for (int j = 0; j < kLanes; ++j) {
          square[j] = j < n ? load(output + static_cast<int64_t>(i + j) * kStrip + column) * inverse
                            : splat(0);
        }
        transpose(square);
#pragma GCC unroll 16
        for (int j = 0; j < kLanes; ++j) {
          if (column + j < rows) store_part(out[column + j] + i, square[j], n);
        }
      }
    }
  }

#if defined(__AMX_BF16__)
  static constexpr bool kTiles = sizeof(T) == 2;
  AmxTiles tiles_;
#else
  static constexpr bool kTiles = false;
#endif
  const PagedAttentionArgs& args_;
  const AttentionTask& task_;
  const PagedSequence& sequence_;
  const int group_;
  const int rows_;
  const int strips_;  // of 32 rows
  const int depth_;   // steps of head_dim
  const int first_position_;
  uint32_t* queries_;     // [strips, depth, 32]
  float* output_;         // [strips, head_dim, 32]
  RowState* rows_state_;  // [strips]
  uint32_t* keys_;        // [64, depth]
  uint32_t* values_;      // [head_dim, steps of 64 keys]
  float* scores_;         // [64, 32]
  uint32_t* weights_;     // [steps of 64 keys, 32]
  // Where kScaled<K>:
  T* widened_ = nullptr;  // [64, key and value, head_dim]
  float key_scales_[kTileKeys];
  float value_scales_[kTileKeys];
};

}  // namespace saccade::kernels::SACCADE_ISA
