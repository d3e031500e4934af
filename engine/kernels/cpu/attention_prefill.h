#pragma once

// Prefill: a tile of queries (all heads of a group) against the keys they see, 64 at a time, with a
// running softmax. Keys and values of a tile of keys are packed once into the layout of the
// multiplication loop and serve all rows of the query tile.

#include "engine/kernels/cpu/attention_plan.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/microkernel.h"
#if defined(__AMX_BF16__)
#include "engine/kernels/cpu/amx_tiles.h"
#endif

namespace saccade::kernels::SACCADE_ISA {

inline constexpr int kTileKeys = 64;

// Layouts per element type. "Steps" are what microkernel.h calls k: one float or a pair of bf16.
// Where the machine has no bf16 products everything is widened to float as it is packed.
template <typename T>
struct FloatTileUnit {
  using Multiply = FloatUnit;
  using Weight = float;  // of queries and softmax weights in a tile
  static constexpr int kPerStep = 1;

  // kLanes steps of a key from `step` on.
  static inline Vec steps(const T* key, int step) { return load(key + step); }
  // The key's steps from `step` on into their column.
  static inline void pack_key(const T* key, int head_dim, int step, int column, uint32_t* out) {
    for (int d = step; d < head_dim; ++d) {
      const float value = load_one(key + d);
      std::memcpy(out + d * kTileKeys + column, &value, sizeof value);
    }
  }
  static inline void pack_value(const T* value, int head_dim, int key, int64_t width,
                                uint32_t* out) {
    widen(value, head_dim, reinterpret_cast<float*>(out + key * width));
  }
  static inline void copy_query(const T* query, int head_dim, float* to) {
    widen(query, head_dim, to);
  }
  static inline void store_weights(float* to, const float* weights, int n) {
    for (int i = 0; i < n; i += kLanes) {
      store(to + i, round_to(static_cast<const T*>(nullptr), load(weights + i)));
    }
  }

 private:
  static inline void widen(const T* from, int n, float* to) {
    for (int i = 0; i < n; i += kLanes) {
      const int count = min_of(kLanes, n - i);
      store_part(to + i, load_part(from + i, count), count);
    }
  }
};

#if defined(__AVX512BF16__)
struct PairTileUnit {
  using Multiply = PairUnit;
  using Weight = Bf16;
  static constexpr int kPerStep = 2;

  static inline Vec steps(const Bf16* key, int step) {
    Vec pairs;
    std::memcpy(&pairs, key + step * 2, sizeof pairs);
    return pairs;
  }
  static inline void pack_key(const Bf16* key, int head_dim, int step, int column, uint32_t* out) {
    for (int d = step * 2; d + 1 < head_dim; d += 2) {
      std::memcpy(out + d / 2 * kTileKeys + column, key + d, 4);
    }
    if (head_dim % 2 != 0) out[head_dim / 2 * kTileKeys + column] = key[head_dim - 1];
  }
  static inline void pack_value(const Bf16* value, int head_dim, int key, int64_t width,
                                uint32_t* out) {
    uint32_t* row = out + key / 2 * width;
    if (key % 2 == 0) {
      for (int d = 0; d < head_dim; ++d) row[d] = value[d];
    } else {
      for (int d = 0; d < head_dim; ++d) row[d] |= static_cast<uint32_t>(value[d]) << 16;
    }
  }
  static inline void copy_query(const Bf16* query, int head_dim, Bf16* to) {
    std::memcpy(to, query, head_dim * sizeof(Bf16));
  }
  static inline void store_weights(Bf16* to, const float* weights, int n) {
    for (int i = 0; i < n; i += kLanes) store(to + i, load(weights + i));
  }
};
template <typename T>
struct TileUnitOf {
  using Type = FloatTileUnit<T>;
};
template <>
struct TileUnitOf<Bf16> {
  using Type = PairTileUnit;
};
#else
template <typename T>
struct TileUnitOf {
  using Type = FloatTileUnit<T>;
};
#endif

// One thread's work on one query tile. T: of queries and output, K: of the pools.
template <typename T, typename K>
class QueryTile {
 public:
  using Unit = typename TileUnitOf<T>::Type;
  using Weight = typename Unit::Weight;

  QueryTile(const PagedAttentionArgs& args, const AttentionTask& task)
      : args_(args),
        task_(task),
        sequence_(args.sequences[task.sequence]),
        group_(args.heads / args.kv_heads),
        rows_((task.end - task.begin) * group_),
        depth_(steps_of(args.head_dim)),
        width_((args.head_dim + kStrip - 1) / kStrip * kStrip),
        first_position_(sequence_.context_length - sequence_.query_length) {
    queries_ = scratch<char>(ScratchSlot::kQueries, static_cast<int64_t>(rows_) * depth_ * 4);
    // Scores, then the weights, of each row.
    scores_ = scratch<float>(ScratchSlot::kScores, static_cast<int64_t>(rows_) * kTileKeys * 2 * 4);
    weights_ = reinterpret_cast<Weight*>(scores_ + static_cast<int64_t>(rows_) * kTileKeys);
    // Weighted sums of values, then maximum and sum of each row.
    output_ = scratch<float>(ScratchSlot::kOutput, rows_ * (width_ + 2) * 4);
    maximum_ = output_ + rows_ * width_;
    sum_ = maximum_ + rows_;
    keys_ = scratch<uint32_t>(ScratchSlot::kKeys, static_cast<int64_t>(depth_) * kTileKeys * 4);
    values_ = scratch<uint32_t>(ScratchSlot::kValues, kTileKeys / Unit::kPerStep * width_ * 4);
    if constexpr (kScaled<K>) {
      widened_ = scratch<T>(ScratchSlot::kWidened,
                            static_cast<int64_t>(kTileKeys) * args.head_dim * sizeof(T));
    }
  }

  void run() {
    copy_queries();
    for (int64_t i = 0; i < rows_ * width_; ++i) output_[i] = 0;
    for (int r = 0; r < rows_; ++r) {
      maximum_[r] = -__builtin_inff();
      sum_[r] = 0;
    }
    const int end = position_of(rows_ - 1) + 1;
    const int begin = first_visible_key(args_, position_of(0)) / kTileKeys * kTileKeys;
    for (int key = begin; key < end; key += kTileKeys) {
      const int count = min_of(kTileKeys, end - key);
      const int columns = (count + kStrip - 1) / kStrip * kStrip;
      pack(key, count);
      multiply(queries_, depth_ * 4, as_bytes(keys_), kTileKeys, depth_, scores_, columns, false);
      for (int r = 0; r < rows_; ++r) update_row(r, key, count, columns);
      multiply(reinterpret_cast<const char*>(weights_), kTileKeys * sizeof(Weight),
               as_bytes(values_), width_, columns / Unit::kPerStep, output_, width_, true);
    }
    for (int r = 0; r < rows_; ++r) {
      write_output(row_of<T*>(args_.out, args_.out_stride, r), output_ + r * width_, args_.head_dim,
                   1.0f / sum_[r]);
    }
  }

 private:
  template <typename Element>
  static Element* scratch(ScratchSlot slot, int64_t bytes) {
    return static_cast<Element*>(thread_scratch(slot, static_cast<size_t>(bytes)));
  }
  static const char* as_bytes(const uint32_t* words) {
    return reinterpret_cast<const char*>(words);
  }

  // Steps of k that hold n elements; whole AMX tiles where those are used.
  static int steps_of(int n) {
    const int steps = (n + Unit::kPerStep - 1) / Unit::kPerStep;
#if defined(__AMX_BF16__)
    if (sizeof(T) == 2) return (steps + kTileDepth - 1) / kTileDepth * kTileDepth;
#endif
    return steps;
  }

  // c [rows, n] (+)= a [rows, depth] b [depth, n], rows of b and c `stride` apart; a_stride in
  // bytes; n a multiple of 32.
  void multiply(const char* a, int64_t a_stride, const char* b, int64_t stride, int64_t depth,
                float* c, int64_t n, bool accumulate) {
#if defined(__AMX_BF16__)
    if constexpr (sizeof(T) == 2) {
      for (int64_t column = 0; column < n; column += kBlockColumns) {
        tiles_.multiply(a, a_stride, rows_, b + column * 4, stride * 4, depth, c + column, stride,
                        accumulate);
      }
      return;
    }
#endif
    multiply_block<typename Unit::Multiply>(a, a_stride, rows_, b, stride * 4, depth, n, c, stride,
                                            accumulate);
  }

  // Row r of the tile is query r / group, head r % group. It sees the keys up to its position.
  int position_of(int r) const {
    return args_.causal ? first_position_ + task_.begin + r / group_ : sequence_.context_length - 1;
  }
  template <typename Pointer, typename Base>
  Pointer row_of(Base* base, int64_t stride, int r) const {
    const int64_t token = sequence_.query_start + task_.begin + r / group_;
    const int64_t head = static_cast<int64_t>(task_.kv_head) * group_ + r % group_;
    return static_cast<Pointer>(base) + token * stride + head * args_.head_dim;
  }

  void copy_queries() {
    const int64_t row_bytes = static_cast<int64_t>(depth_) * 4;
    const int64_t used = static_cast<int64_t>(args_.head_dim) * sizeof(Weight);
    for (int r = 0; r < rows_; ++r) {
      char* to = queries_ + r * row_bytes;
      Unit::copy_query(row_of<const T*>(args_.q, args_.q_stride, r), args_.head_dim,
                       reinterpret_cast<Weight*>(to));
      std::memset(to + used, 0, row_bytes - used);
    }
  }

  // Keys [key, key + count) into keys_ [depth][64] and values_ [64 / per step][width], the rest
  // zero.
  void pack(int key, int count) {
    const int d = args_.head_dim;
    if (count < kTileKeys || d < depth_ * Unit::kPerStep)
      std::memset(keys_, 0, static_cast<size_t>(depth_) * kTileKeys * 4);
    if (count < kTileKeys || d < width_) {
      std::memset(values_, 0, static_cast<size_t>(kTileKeys / Unit::kPerStep * width_) * 4);
    }
    const int64_t stride = args_.kv_strides.key;
    for (int i = 0; i < count;) {
      const KeyRun<K> keys = keys_at<K>(args_, sequence_, task_.kv_head, key + i, key + count);
      const KeyRun<K> values = values_at<K>(args_, sequence_, task_.kv_head, key + i, key + count);
      pack_keys(as_stored(keys), i);
      if constexpr (kScaled<K>) {
        std::memcpy(key_scales_ + i, keys.scales, keys.count * sizeof(float));
        std::memcpy(value_scales_ + i, values.scales, values.count * sizeof(float));
      }
      const T* value = as_stored(values).data;
      for (int j = 0; j < keys.count; ++j, ++i, value += stride) {
        Unit::pack_value(value, d, i, width_, values_);
      }
    }
  }

  // A run of at most kTileKeys rows in the tile's own type, which holds bytes exactly; valid until
  // the next call.
  KeyRun<T> as_stored(const KeyRun<K>& run) {
    if constexpr (kScaled<K>) {
      const int d = args_.head_dim;
      for (int row = 0; row < run.count; ++row) {
        const K* from = run.data + static_cast<int64_t>(row) * d;
        T* to = widened_ + static_cast<int64_t>(row) * d;
        for (int i = 0; i < d; i += kLanes) {
          const int n = min_of(kLanes, d - i);
          store_part(to + i, load_part(from + i, n), n);
        }
      }
      return {widened_, run.count};
    } else {
      return run;
    }
  }

  // A run of keys into the columns from `column` on, in squares of kLanes keys and steps.
  void pack_keys(const KeyRun<T>& run, int column) {
    const int64_t stride = args_.kv_strides.key;
    const int square_steps = args_.head_dim / Unit::kPerStep / kLanes * kLanes;
    int key = 0;
    for (; key + kLanes <= run.count; key += kLanes) {
      for (int step = 0; step < square_steps; step += kLanes) {
        Vec rows[kLanes];
        for (int i = 0; i < kLanes; ++i) {
          rows[i] = Unit::steps(run.data + (key + i) * stride, step);
        }
        transpose(rows);
        for (int i = 0; i < kLanes; ++i) {
          std::memcpy(keys_ + (step + i) * kTileKeys + column + key, &rows[i], sizeof rows[i]);
        }
      }
      for (int i = key; i < key + kLanes; ++i) {
        Unit::pack_key(run.data + i * stride, args_.head_dim, square_steps, column + i, keys_);
      }
    }
    for (; key < run.count; ++key) {
      Unit::pack_key(run.data + key * stride, args_.head_dim, 0, column + key, keys_);
    }
  }

  // Scores of row r for keys from `key` on -> weights, with the running maximum and sum. Those of
  // the first `columns` keys are read again, of which `count` exist.
  void update_row(int r, int key, int count, int columns) {
    float* scores = scores_ + static_cast<int64_t>(r) * kTileKeys;
    Weight* weights = weights_ + static_cast<int64_t>(r) * kTileKeys;
    const int position = position_of(r);
    const int from = max_of(0, first_visible_key(args_, position) - key);
    const int to = min_of(count, position + 1 - key);
    if (from >= to) {  // the row sees none of these keys
      std::memset(weights, 0, columns * sizeof(Weight));
      return;
    }
    if constexpr (kScaled<K>) apply_scales(scores, key_scales_, to);
    for (int i = 0; i < from; ++i) scores[i] = -__builtin_inff();
    for (int i = to; i < columns; ++i) scores[i] = -__builtin_inff();
    float scale = args_.scale;
    if (args_.soft_cap > 0) {
      cap_scores(scores + from, to - from, scale, args_.soft_cap);
      scale = 1;
    }
    if (args_.alibi_slopes != nullptr) {
      const float slope = args_.alibi_slopes[task_.kv_head * group_ + r % group_];
      add_alibi(scores + from, to - from, scale, slope, key + from - position);
      scale = 1;
    }
    const float scaled_maximum = group_max(scores + from, to - from) * scale;
    const float maximum = max_of(maximum_[r], scaled_maximum);
    if (maximum > maximum_[r]) {
      const float factor = vexp(splat(maximum_[r] - maximum))[0];
      sum_[r] *= factor;
      float* output = output_ + r * width_;
      for (int64_t c = 0; c < width_; c += kLanes) store(output + c, load(output + c) * factor);
      maximum_[r] = maximum;
    }
    Vec sums = splat(0);
    for (int i = 0; i < columns; i += kLanes) {
      const Vec e = vexp(load(scores + i) * scale - maximum);
      store(scores + i, e);
      sums += e;
    }
    sum_[r] += reduce_add(sums);
    if constexpr (kScaled<K>) apply_scales(scores, value_scales_, count);
    Unit::store_weights(weights, scores, columns);
  }

  const PagedAttentionArgs& args_;
  const AttentionTask& task_;
  const PagedSequence& sequence_;
  const int group_;
  const int rows_;
  const int depth_;      // steps of head_dim
  const int64_t width_;  // head_dim rounded up to whole strips
  const int first_position_;
  char* queries_;     // [rows, depth]
  float* scores_;     // [rows, 64]
  Weight* weights_;   // [rows, 64]
  float* output_;     // [rows, width]
  float* maximum_;    // [rows]
  float* sum_;        // [rows]
  uint32_t* keys_;    // [depth, 64]
  uint32_t* values_;  // [64 / per step, width]
  // Where kScaled<K>:
  T* widened_ = nullptr;  // [64, head_dim]
  float key_scales_[kTileKeys];
  float value_scales_[kTileKeys];
#if defined(__AMX_BF16__)
  AmxTiles tiles_;
#endif
};

}  // namespace saccade::kernels::SACCADE_ISA
