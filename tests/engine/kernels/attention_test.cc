#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <string>

#include "engine/kernels/paged_attention.h"
#include "tests/engine/kernels/kernel_fixture.h"

using namespace saccade::kernels;           // NOLINT
using namespace saccade::kernels::testing;  // NOLINT

namespace {

struct Shape {
  int heads, kv_heads, head_dim, block_size, window;
  float soft_cap = 0;
  bool causal = true;  // off: an encoder, with the heads of each key behind each other
  float alibi = 0;     // slope of the first head; each further one's is 0.8 times that; 0: none
};

struct Chunk {
  int context, queries;  // keys the last query sees; queries, the last ones of them
};

// Keys or values: numbers of T, or rows of int8 with a scale each.
template <typename T>
struct Pool {
  Array<T> numbers{0};
  std::vector<int8_t> bytes;
  std::vector<float> scales;  // empty: numbers
  int row = 0;

  // Each row divided by 1/127 of its largest and rounded.
  void quantize(int row_size) {
    row = row_size;
    bytes.resize(numbers.size());
    scales.resize(numbers.size() / row);
    for (size_t r = 0; r < scales.size(); ++r) {
      double largest = 0;
      for (size_t i = r * row; i < (r + 1) * row; ++i) {
        largest = std::max(largest, std::abs(numbers[i]));
      }
      scales[r] = static_cast<float>(largest / 127);
      for (size_t i = r * row; i < (r + 1) * row; ++i) {
        bytes[i] = static_cast<int8_t>(std::lround(numbers[i] / scales[r]));
      }
    }
  }
  double operator[](size_t i) const {
    return scales.empty() ? numbers[i] : bytes[i] * double{scales[i / row]};
  }
  const void* data() const {
    return scales.empty() ? static_cast<const void*>(numbers.data()) : bytes.data();
  }
  const float* scale_data() const { return scales.empty() ? nullptr : scales.data(); }
};

enum class Cache { kPlain, kBytes };

// A cache with sequences in shuffled blocks, queries for one step, and where the result goes.
template <typename T>
class Problem {
 public:
  Problem(Shape shape, std::vector<Chunk> chunks, unsigned seed, float spread = 1.0f,
          Cache cache = Cache::kPlain)
      : shape_(shape), chunks_(std::move(chunks)), generator_(seed) {
    int num_blocks = 3;
    for (const Chunk& chunk : chunks_) num_blocks += blocks_of(chunk);
    std::vector<int32_t> free(num_blocks);
    for (int i = 0; i < num_blocks; ++i) free[i] = i;
    std::shuffle(free.begin(), free.end(), generator_);
    for (const Chunk& chunk : chunks_) {
      starts_.push_back(tokens_);
      tokens_ += chunk.queries;
      tables_.emplace_back(free.end() - blocks_of(chunk), free.end());
      free.resize(free.size() - blocks_of(chunk));
    }
    const size_t pool =
        static_cast<size_t>(num_blocks) * shape_.kv_heads * shape_.block_size * shape_.head_dim;
    keys_.numbers = Array<T>::random(pool, generator_, spread);
    values_.numbers = Array<T>::random(pool, generator_);
    if (cache == Cache::kBytes) {
      keys_.quantize(shape_.head_dim);
      values_.quantize(shape_.head_dim);
    }
    stride_ = shape_.heads * shape_.head_dim + 5;
    queries_ = Array<T>::random(tokens_ * stride_, generator_, spread);
    for (int head = 0; head < shape_.heads; ++head) {
      slopes_.push_back(shape_.alibi * std::pow(0.8f, static_cast<float>(head)));
    }
  }

  Array<T> run(const std::vector<int>& only = {}) const {
    Array<T> out(tokens_ * stride_);
    std::vector<PagedSequence> sequences;
    for (size_t s = 0; s < chunks_.size(); ++s) {
      if (!only.empty() && std::find(only.begin(), only.end(), s) == only.end()) continue;
      sequences.push_back({starts_[s], chunks_[s].queries, chunks_[s].context, tables_[s].data()});
    }
    paged_attention({.type = Array<T>::type(),
                     .heads = shape_.heads,
                     .kv_heads = shape_.kv_heads,
                     .head_dim = shape_.head_dim,
                     .scale = scale(),
                     .sliding_window = shape_.window,
                     .soft_cap = shape_.soft_cap,
                     .alibi_slopes = shape_.alibi > 0 ? slopes_.data() : nullptr,
                     .q = queries_.data(),
                     .q_stride = stride_,
                     .causal = shape_.causal,
                     .k_pool = keys_.data(),
                     .v_pool = values_.data(),
                     .k_scales = keys_.scale_data(),
                     .v_scales = values_.scale_data(),
                     .kv_strides = strides(),
                     .block_size = shape_.block_size,
                     .sequences = sequences.data(),
                     .num_sequences = static_cast<int>(sequences.size()),
                     .out = out.data(),
                     .out_stride = stride_});
    return out;
  }

  // The float64 results of every (sequence, query, head) in order.
  std::vector<std::vector<double>> expected() const {
    std::vector<std::vector<double>> out;
    for (size_t s = 0; s < chunks_.size(); ++s) {
      for (int i = 0; i < chunks_[s].queries; ++i) {
        for (int head = 0; head < shape_.heads; ++head) out.push_back(attend(s, i, head));
      }
    }
    return out;
  }

  // The largest difference from expected(); -1 when something else was written.
  double error(const Array<T>& out, const std::vector<std::vector<double>>& expected) const {
    if (!out.margin_is_intact()) return -1;
    double worst = 0;
    auto want = expected.begin();
    for (size_t s = 0; s < chunks_.size(); ++s) {
      for (int i = 0; i < chunks_[s].queries; ++i) {
        for (int head = 0; head < shape_.heads; ++head, ++want) {
          for (int d = 0; d < shape_.head_dim; ++d) {
            const double error = relative_error(out[index_of(s, i, head) + d], (*want)[d]);
            if (!(error <= worst)) worst = error;  // NaN too
          }
        }
      }
    }
    for (int token = 0; token < tokens_; ++token) {  // between the rows
      for (int i = 0; i < 5; ++i) {
        if (out[static_cast<size_t>(token + 1) * stride_ - 1 - i] != 0) return -1;
      }
    }
    return worst;
  }

  size_t index_of(size_t s, int query, int head) const {
    return static_cast<size_t>(starts_[s] + query) * stride_ + head * shape_.head_dim;
  }
  const std::vector<Chunk>& chunks() const { return chunks_; }

 private:
  int blocks_of(const Chunk& chunk) const {
    return (chunk.context + shape_.block_size - 1) / shape_.block_size;
  }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(shape_.head_dim)); }

  size_t pool_index(size_t s, int position, int kv_head) const {
    const int64_t block = tables_[s][position / shape_.block_size];
    return block * strides().block + kv_head * strides().head +
           position % shape_.block_size * strides().key;
  }

  KvStrides strides() const {
    const int64_t d = shape_.head_dim;
    if (shape_.causal) return pool_strides(shape_.kv_heads, shape_.block_size, shape_.head_dim);
    return {shape_.block_size * shape_.kv_heads * d, d, shape_.kv_heads * d};
  }

  std::vector<double> attend(size_t s, int query, int head) const {
    const int context = chunks_[s].context;
    const int position = shape_.causal ? context - chunks_[s].queries + query : context - 1;
    const int kv_head = head / (shape_.heads / shape_.kv_heads);
    std::vector<double> scores;
    std::vector<int> positions;
    for (int j = 0; j <= position; ++j) {
      if (shape_.window > 0 && position - j >= shape_.window) continue;
      double dot = 0;
      for (int d = 0; d < shape_.head_dim; ++d) {
        dot += queries_[index_of(s, query, head) + d] * keys_[pool_index(s, j, kv_head) + d];
      }
      const double score = dot * scale();
      const double cap = shape_.soft_cap;
      scores.push_back((cap > 0 ? cap * std::tanh(score / cap) : score) -
                       double{slopes_[head]} * (position - j));
      positions.push_back(j);
    }
    const double maximum = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    std::vector<double> out(shape_.head_dim);
    for (size_t i = 0; i < scores.size(); ++i) {
      const double weight = std::exp(scores[i] - maximum);
      sum += weight;
      for (int d = 0; d < shape_.head_dim; ++d) {
        out[d] += weight * values_[pool_index(s, positions[i], kv_head) + d];
      }
    }
    for (double& value : out) value /= sum;
    return out;
  }

  Shape shape_;
  std::vector<Chunk> chunks_;
  std::mt19937 generator_;
  int tokens_ = 0;
  int64_t stride_ = 0;
  std::vector<int32_t> starts_;
  std::vector<std::vector<int32_t>> tables_;
  Pool<T> keys_, values_;
  Array<T> queries_{0};
  std::vector<float> slopes_;
};

const Shape kShapes[] = {
    {9, 3, 64, 16, 0},        // SmolLM2-135M
    {6, 2, 8, 16, 0},         // the golden checkpoints
    {4, 4, 16, 16, 0},        //
    {8, 1, 128, 32, 0},       //
    {20, 1, 32, 16, 0},       // a group over the decode path's limit
    {128, 1, 8, 16, 0},       // a group over a whole prefill tile
    {2, 1, 80, 16, 0},        //
    {3, 3, 256, 7, 0},        // block sizes need not be powers of two
    {2, 2, 13, 5, 0},         //
    {1, 1, 1, 1, 0},          //
    {4, 2, 33, 16, 0},        //
    {4, 2, 64, 16, 1},        // windows: the token itself
    {4, 2, 24, 16, 10},       //
    {4, 2, 64, 16, 300},      //
    {4, 2, 64, 16, 0, 1.5f},  // soft caps
    {6, 3, 24, 16, 10, 50},   //
    {20, 1, 13, 16, 0, 0.1f},
    {3, 3, 64, 700, 0, 0, false},  // encoders: one block each
    {6, 2, 13, 16, 0, 0, false},
    {4, 4, 64, 16, 0, 0, true, 0.5f},  // ALiBi, alone and with all else
    {6, 6, 13, 16, 0, 0, true, 0.01f},
    {8, 2, 128, 16, 0, 0, true, 0.1f},
    {20, 1, 24, 16, 0, 0, true, 1.0f},
    {4, 2, 64, 16, 10, 0, true, 0.3f},
    {4, 2, 24, 16, 300, 0, true, 0.02f},
    {6, 3, 33, 16, 0, 1.5f, true, 0.2f},
    {4, 2, 80, 7, 40, 3.0f, true, 0.1f},
};

// Decodes first, then chunks, as the scheduler lays a step out; borders of splits and tiles.
const std::vector<std::vector<Chunk>> kSteps = {
    {{1, 1}},
    {{255, 1}, {256, 1}, {257, 1}, {600, 1}, {3, 1}},
    {{5, 5}},
    {{64, 64}, {65, 65}, {130, 2}},
    {{17, 1}, {300, 40}, {70, 33}, {100, 100}},
};

std::string name_of(const Shape& shape) {
  return std::to_string(shape.heads) + "/" + std::to_string(shape.kv_heads) + " heads of " +
         std::to_string(shape.head_dim) + ", blocks of " + std::to_string(shape.block_size) +
         ", window " + std::to_string(shape.window) + ", slope " + std::to_string(shape.alibi);
}

}  // namespace

TEMPLATE_TEST_CASE("attention: equals a float64 softmax over ragged steps", "", float, uint16_t) {
  unsigned seed = 1;
  for (const Shape& shape : kShapes) {
    for (const auto& step : kSteps) {
      const Problem<TestType> problem(shape, step, ++seed);
      const auto expected = problem.expected();
      for (const Isa isa : isas()) {
        const Setting setting(isa, 2);
        INFO(name_of(shape) << ", first context " << step[0].context << ", " << name_of(isa));
        const double error = problem.error(problem.run(), expected);
        CHECK(error >= 0);
        CHECK(error < tolerance<TestType>(3e-6, 2.0));
      }
    }
  }
}

// Decode rounds its queries to 16 bits.
TEMPLATE_TEST_CASE("attention: over int8 keys and values equals a float64 softmax", "", float,
                   uint16_t) {
  unsigned seed = 100;
  for (const Shape& shape : kShapes) {
    if (!shape.causal) continue;  // encoders have no such cache
    for (const auto& step : kSteps) {
      const Problem<TestType> problem(shape, step, ++seed, 1.0f, Cache::kBytes);
      const auto expected = problem.expected();
      for (const Isa isa : isas()) {
        const Setting setting(isa, 2);
        INFO(name_of(shape) << ", first context " << step[0].context << ", " << name_of(isa));
        const double error = problem.error(problem.run(), expected);
        CHECK(error >= 0);
        CHECK(error < tolerance<TestType>(1e-4, 2.5));
      }
    }
  }
}

TEMPLATE_TEST_CASE("attention: large scores neither overflow nor lose the maximum", "", float,
                   uint16_t) {
  // Scores of some thousands: a softmax without its running maximum would give inf or nan, and one
  // key takes nearly all weight.
  const Problem<TestType> problem({4, 2, 64, 16, 0}, {{300, 1}, {200, 150}}, 7, 20.0f);
  const auto expected = problem.expected();
  for (const Isa isa : isas()) {
    const Setting setting(isa, 1);
    INFO(name_of(isa));
    const double error = problem.error(problem.run(), expected);
    CHECK(error >= 0);
    CHECK(error < tolerance<TestType>(2e-3, 2.5));  // the scores' own float32 noise is 2e-4
  }
}

TEMPLATE_TEST_CASE("attention: a sequence's result is its own, whatever runs beside it", "", float,
                   uint16_t) {
  const Cache cache = GENERATE(Cache::kPlain, Cache::kBytes);
  const Problem<TestType> problem(
      {9, 3, 64, 16, 0}, {{700, 1}, {40, 1}, {333, 77}, {1030, 1}, {64, 64}}, 11, 1.0f, cache);
  for (const Isa isa : isas()) {
    INFO(name_of(isa));
    const Array<TestType> together = [&] {
      const Setting setting(isa, 1);
      return problem.run();
    }();
    for (const int threads : {1, 2, 5, 16}) {
      const Setting setting(isa, threads);
      const Array<TestType> again = problem.run();
      CHECK(std::equal(again.data(), again.data() + again.size(), together.data()));
      for (int s = 0; s < static_cast<int>(problem.chunks().size()); ++s) {
        const Array<TestType> alone = problem.run({s});
        const size_t begin = problem.index_of(s, 0, 0);
        const size_t end = problem.index_of(s, problem.chunks()[s].queries - 1, 8) + 64;
        CHECK(std::equal(alone.data() + begin, alone.data() + end, together.data() + begin));
      }
    }
  }
}
