// The kernels behind the layers on the device under test (SACCADE_TEST_DEVICE), against ATen's
// operators in float64 on the CPU.
#include "engine/layers/device_kernels.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <random>

#include "engine/layers/activation.h"
#include "engine/layers/attention.h"
#include "engine/layers/kernel_type.h"
#include "engine/layers/linear.h"
#include "tests/engine/catch.h"
#include "tests/engine/models/golden.h"

namespace saccade::testing {
namespace {

// |a - b| / |b|; NaN never passes a bound.
double relative_error(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor wide = a.to(at::kCPU, at::kDouble);
  return ((wide - b).norm() / b.norm()).item<double>();
}

double bound(at::ScalarType type) { return type == at::kFloat ? 1e-5 : 8e-3; }

// Random numbers that both types hold, as float64.
at::Tensor random_values(at::IntArrayRef shape) {
  return at::randn(shape, at::kFloat).to(at::kBFloat16).to(at::kDouble);
}

at::Tensor on_device(const at::Tensor& x, at::ScalarType type) { return x.to(test_device(), type); }

struct Chunk {
  int context, queries;
};

// A step of `chunks` over a cache whose blocks lie anyhow.
class Step {
 public:
  Step(AttentionShape shape, int block_size, const std::vector<Chunk>& chunks)
      : shape_(shape), block_size_(block_size) {
    int blocks = 1;
    for (const Chunk& chunk : chunks) blocks += blocks_of(chunk);
    std::vector<int32_t> free(blocks);
    for (int i = 0; i < blocks; ++i) free[i] = i;
    std::shuffle(free.begin(), free.end(), std::mt19937(blocks));
    tables_.reserve(chunks.size());
    for (const Chunk& chunk : chunks) {
      tables_.emplace_back(free.end() - blocks_of(chunk), free.end());
      free.resize(free.size() - blocks_of(chunk));
      add(chunk, tables_.back());
    }
    input_.block_size = block_size;
    const std::vector<int64_t> pool = {blocks, shape.kv_heads, block_size, shape.head_dim};
    keys_ = random_values(pool);
    values_ = random_values(pool);
    const int64_t width = (shape.heads + 2 * int64_t{shape.kv_heads}) * shape.head_dim;
    qkv_ = random_values({tokens(), width});
    const at::Tensor angles = at::rand({tokens(), shape.head_dim / 4}, at::kFloat) * 6;
    rope_ = at::stack({at::cos(angles), at::sin(angles)});  // half of each head is rotated
  }

  void check(at::ScalarType type) const {
    const LayerCache expected_cache{keys_.clone(), values_.clone()};
    const at::Tensor expected =
        paged_attention_reference(qkv_, shape_, rope_, input_, expected_cache);
    AttentionInput input = input_;
    input.device = upload_layout({}, input, test_device());
    // What no token of these sequences has written is poison: it must not be seen.
    const LayerCache cache{poisoned(keys_, type), poisoned(values_, type)};
    AttentionShape shape = shape_;
    if (shape.alibi_slopes.defined())
      shape.alibi_slopes = on_device(shape.alibi_slopes, at::kFloat);
    const at::Tensor out =
        paged_attention(on_device(qkv_, type), shape, rope_.to(test_device()), input, cache);
    CHECK(relative_error(out, expected) < bound(type));
    int64_t row = 0;
    for (const kernels::PagedSequence& sequence : input_.sequences) {  // each for itself
      const at::Tensor own = out.narrow(0, row, sequence.query_length);
      CHECK(relative_error(own, expected.narrow(0, row, sequence.query_length)) < bound(type));
      row += sequence.query_length;
    }
    CHECK(relative_error(written(cache.keys), written(expected_cache.keys)) < bound(type));
    CHECK(relative_error(written(cache.values), written(expected_cache.values)) < bound(type));
  }

 private:
  int blocks_of(const Chunk& chunk) const {
    return (chunk.context + block_size_ - 1) / block_size_;
  }
  int64_t tokens() const { return static_cast<int64_t>(input_.slots.size()); }

  void add(const Chunk& chunk, const std::vector<int32_t>& table) {
    const auto first = static_cast<int32_t>(input_.slots.size());
    input_.sequences.push_back(
        {first, chunk.queries, chunk.context, table.data(), chunk.context - chunk.queries});
    for (int p = 0; p < chunk.context; ++p) {
      const int64_t slot = int64_t{table[p / block_size_]} * block_size_ + p % block_size_;
      known_.push_back(slot);
      if (p >= chunk.context - chunk.queries) input_.slots.push_back(slot);
    }
  }

  // pool [blocks, kv_heads, block_size, d] -> [slots, kv_heads, d], those that hold a token.
  at::Tensor written(const at::Tensor& pool) const {
    const at::Tensor slots = pool.to(at::kCPU, at::kDouble).transpose(1, 2).flatten(0, 1);
    return slots.index_select(0, at::tensor(input_.slots, at::kLong));
  }

  at::Tensor poisoned(const at::Tensor& pool, at::ScalarType type) const {
    const at::Tensor slots = pool.transpose(1, 2).contiguous().flatten(0, 1);
    at::Tensor out = at::full_like(slots, std::nan(""));
    const at::Tensor known = at::tensor(known_, at::kLong);
    out.index_copy_(0, known, slots.index_select(0, known));
    return on_device(out.unflatten(0, {pool.size(0), pool.size(2)}).transpose(1, 2).contiguous(),
                     type);
  }

  AttentionShape shape_;
  int block_size_;
  AttentionInput input_;
  std::vector<std::vector<int32_t>> tables_;
  std::vector<int64_t> known_;  // slots
  at::Tensor keys_, values_, qkv_, rope_;
};

const std::vector<Chunk> kChunks = {{1, 1},   {5, 1},   {16, 1},  {17, 1},    {255, 1},
                                    {256, 1}, {257, 1}, {700, 1}, {20, 2},    {300, 2},
                                    {33, 33}, {64, 64}, {65, 65}, {300, 100}, {600, 70}};

// The same with slopes of 0.4 and less.
AttentionShape with_alibi(AttentionShape shape) {
  shape.alibi_slopes = at::pow(0.4, at::arange(1, shape.heads + 1, at::kFloat));
  return shape;
}

AttentionShape shape_of(int heads, int kv_heads, int head_dim, int window = 0, float cap = 0) {
  return {heads, kv_heads, head_dim, 1.0f / std::sqrt(static_cast<float>(head_dim)), window, cap};
}

}  // namespace

TEST_CASE("paged attention equals the reference in every shape") {
  const c10::InferenceMode guard;
  at::manual_seed(1);
  for (const AttentionShape& shape :
       {shape_of(4, 4, 64), shape_of(8, 2, 128), shape_of(3, 3, 80), shape_of(4, 1, 96),
        shape_of(8, 1, 64), shape_of(2, 1, 256), shape_of(3, 3, 20), shape_of(20, 1, 128),
        shape_of(4, 2, 64, 40), shape_of(4, 2, 128, 300), shape_of(4, 2, 64, 0, 3.0f),
        shape_of(2, 2, 24, 7, 3.0f), with_alibi(shape_of(4, 4, 64)), with_alibi(shape_of(3, 3, 20)),
        with_alibi(shape_of(8, 2, 128, 300)), with_alibi(shape_of(4, 2, 96, 0, 3.0f)),
        with_alibi(shape_of(4, 2, 256, 40, 3.0f))}) {
    for (const int block_size : {16, 5}) {
      INFO("heads " << shape.heads << " kv " << shape.kv_heads << " of " << shape.head_dim
                    << " window " << shape.sliding_window << " block " << block_size << " alibi "
                    << shape.alibi_slopes.defined());
      const Step step(shape, block_size, kChunks);
      step.check(at::kFloat);
      step.check(at::kBFloat16);
    }
  }
}

TEST_CASE("decodes alone and prefills alone are steps too") {
  const c10::InferenceMode guard;
  at::manual_seed(2);
  std::vector<Chunk> crowd;
  for (int i = 0; i < 60; ++i) crowd.push_back({1 + 13 * i, 1});
  for (const auto& chunks : {std::vector<Chunk>{{1000, 1}}, std::vector<Chunk>{{40, 40}},
                             std::vector<Chunk>{{3, 1}, {9, 1}}, crowd}) {
    const Step step(shape_of(8, 4, 64), 16, chunks);
    step.check(at::kFloat);
    step.check(at::kBFloat16);
  }
}

TEST_CASE("a linear layer of few rows and of many") {
  const c10::InferenceMode guard;
  at::manual_seed(3);
  for (const int64_t in : {8, 96, 100, 1000, 1024, 5000}) {
    for (const int64_t out : {1, 7, 64, 513}) {
      const at::Tensor weight = random_values({out, in});
      const at::Tensor bias = random_values({out});
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
        const Linear plain(on_device(weight, type), std::nullopt);
        const Linear biased(on_device(weight, type), on_device(bias, type));
        for (const int64_t rows : {1, 2, 3, 4, 8, 9, 16, 17, 33}) {
          if (in > 1024 && rows > 4) break;  // the library's own, which may sum in bfloat16
          INFO("in " << in << " out " << out << " rows " << rows);
          const at::Tensor x = random_values({rows, in});
          const at::Tensor expected = at::linear(x, weight);
          CHECK(relative_error(plain(on_device(x, type)), expected) < bound(type));
          CHECK(relative_error(biased(on_device(x, type)), expected + bias) < bound(type));
        }
      }
    }
  }
}

TEST_CASE("the best token of each row, the first of equals") {
  const c10::InferenceMode guard;
  if (!test_device().is_cuda()) return;  // elsewhere the sampler reads the logits
  at::manual_seed(6);
  for (const int64_t vocab : {1, 31, 1000, 32001}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      INFO("vocab " << vocab << " " << type);
      at::Tensor logits = random_values({7, vocab}).to(type);
      logits[3].fill_(-2);
      logits[4][vocab - 1] = NAN;
      const auto best = device_kernels::best_tokens(logits.to(test_device()));
      REQUIRE(best.size() == 7);
      for (int row = 0; row < 7; ++row) {
        if (row == 4) {
          CHECK(std::isnan(best[row].second));
          continue;
        }
        const at::Tensor own = logits[row].to(at::kFloat);
        CHECK(best[row].second == own.max().item<float>());
        CHECK(best[row].first == own.eq(own.max()).nonzero()[0].item<int64_t>());
      }
    }
  }
}

TEST_CASE("a linear layer with what follows it") {
  const c10::InferenceMode guard;
  at::manual_seed(7);
  const int64_t in = 80;
  for (const int64_t out : {7, 64, 96}) {
    const at::Tensor weight = random_values({out, in}) * 0.125, x = random_values({2, 3, in});
    const at::Tensor bias = random_values({out}), residual = random_values({2, 3, out});
    const at::Tensor plain = at::linear(x, weight, bias);
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      INFO("out " << out << " " << type);
      const at::Tensor own_x = on_device(x, type);
      const Linear linear(on_device(weight, type), on_device(bias, type));
      for (const Activation activation :
           {Activation::kGelu, Activation::kGeluTanh, Activation::kQuickGelu, Activation::kRelu,
            Activation::kSilu}) {
        CHECK(relative_error(linear.activated(own_x, activation), activate(plain, activation)) <
              2 * bound(type));
      }
      CHECK(relative_error(linear.added_to(on_device(residual, type), own_x), residual + plain) <
            bound(type));
    }
  }
}

TEST_CASE("gated activations") {
  const c10::InferenceMode guard;
  at::manual_seed(4);
  for (const int64_t width : {1, 8, 77, 1536}) {
    for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
      const at::Tensor x = random_values({9, 2 * width});
      const at::Tensor expected =
          activate(x.narrow(1, 0, width), activation) * x.narrow(1, width, width);
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
        INFO("width " << width);
        CHECK(relative_error(activate_gated(on_device(x, type), activation), expected) <
              bound(type));
      }
    }
  }
}

namespace {

// x / rms(x) * weight over the last axis, in float64.
at::Tensor normal(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x * at::rsqrt(x.square().mean(-1, /*keepdim=*/true) + eps) * weight;
}

kernels::RmsNormArgs norm_args(const at::Tensor& x, const at::Tensor& weight, at::Tensor& out) {
  return {.type = element_type(x),
          .rows = x.size(0),
          .width = weight.size(0),
          .x = x.const_data_ptr(),
          .x_stride = x.stride(0),
          .weight = weight.const_data_ptr(),
          .wide_weight = weight.scalar_type() != x.scalar_type(),
          .eps = 1e-5f,
          .out = out.data_ptr(),
          .out_stride = out.stride(0)};
}

}  // namespace

TEST_CASE("norms: of rows, of heads in place, behind a sum") {
  const c10::InferenceMode guard;
  at::manual_seed(5);
  for (const int64_t width : {1, 8, 77, 576, 4096}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      for (const at::ScalarType weight_type : {type, at::kFloat}) {
        INFO("width " << width << " " << type << " " << weight_type);
        const at::Tensor x = random_values({5, 3 * width}), delta = random_values({5, width});
        const at::Tensor weight = random_values({width}), first = x.narrow(1, 0, width);
        const at::Tensor own_weight = on_device(weight, weight_type);
        const at::Tensor rows = on_device(x, type);
        at::Tensor out = at::empty({5, width}, rows.options());
        device_kernels::rms_norm(rows, norm_args(rows, own_weight, out));
        CHECK(relative_error(out, normal(first, weight, 1e-5)) < bound(type));

        at::Tensor sum = on_device(first, type).clone();
        device_kernels::add_rms_norm(rows, norm_args(sum, own_weight, out), sum.data_ptr(),
                                     sum.stride(0), on_device(delta, type).const_data_ptr(), width);
        CHECK(relative_error(sum, first + delta) < bound(type));
        CHECK(relative_error(out, normal(first + delta, weight, 1e-5)) < bound(type));

        at::Tensor heads = rows.clone().narrow(1, width, 2 * width);
        device_kernels::rms_norm_heads(rows, norm_args(heads, own_weight, heads), 2);
        const at::Tensor expected =
            normal(x.narrow(1, width, 2 * width).unflatten(1, {2, width}), weight, 1e-5);
        CHECK(relative_error(heads.unflatten(1, {2, width}), expected) < bound(type));
      }
    }
  }
}

}  // namespace saccade::testing
