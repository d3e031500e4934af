#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <utility>

#include "engine/kernels/activation.h"
#include "engine/kernels/norm.h"
#include "engine/kernels/rope.h"
#include "tests/engine/kernels/kernel_fixture.h"

using namespace saccade::kernels;           // NOLINT
using namespace saccade::kernels::testing;  // NOLINT

TEST_CASE("bf16: rounds to nearest even, keeps infinities and NaNs") {
  CHECK(float_to_bf16(1.0f) == 0x3f80);
  CHECK(float_to_bf16(1.00390625f) == 0x3f80);  // 1 + 2^-8: a tie, down to even
  CHECK(float_to_bf16(1.01171875f) == 0x3f82);  // 1 + 3 * 2^-8: a tie, up to even
  CHECK(float_to_bf16(1.00391f) == 0x3f81);     // just over the tie
  CHECK(float_to_bf16(3.4e38f) == 0x7f80);      // rounds up to infinity
  CHECK(float_to_bf16(-std::numeric_limits<float>::infinity()) == 0xff80);
  CHECK(float_to_bf16(std::numeric_limits<float>::quiet_NaN()) == 0x7fc0);
  CHECK(bf16_to_float(0x4049) == 3.140625f);
}

TEMPLATE_TEST_CASE("rms norm: the reference's formula and roundings", "", float, uint16_t) {
  using Numbers = Array<TestType>;
  std::mt19937 generator(3);
  for (const int width : {1, 7, 16, 48, 576, 1025}) {
    for (const int rows : {1, 3, 40}) {
      const int stride = width + 3;
      const Numbers x = Numbers::random(rows * stride, generator, 2.0f);
      const Numbers delta = Numbers::random(rows * stride, generator);
      const Numbers weight = Numbers::random(width, generator);
      for (const Isa isa : isas()) {
        for (const bool add : {false, true}) {
          const Setting setting(isa, 2);
          INFO("width " << width << " rows " << rows << " " << name_of(isa) << " add " << add);
          Numbers out(rows * stride);
          Numbers residual = x;
          RmsNormArgs args{.type = Numbers::type(),
                           .rows = rows,
                           .width = width,
                           .x = x.data(),
                           .x_stride = stride,
                           .weight = weight.data(),
                           .eps = 1e-5f,
                           .out = out.data(),
                           .out_stride = stride};
          if (add) {
            add_rms_norm(args, residual.data(), stride, delta.data(), stride);
          } else {
            rms_norm(args);
          }
          double worst = 0;
          for (int row = 0; row < rows; ++row) {
            double squares = 0;
            std::vector<double> values(width);
            for (int i = 0; i < width; ++i) {
              const size_t at = row * stride + i;
              values[i] = add ? Numbers::rounded(x[at] + delta[at]) : x[at];
              if (add && residual[at] != values[i]) FAIL("residual at " << at);
              squares += values[i] * values[i];
            }
            const double rms = 1 / std::sqrt(squares / width + 1e-5);
            for (int i = 0; i < width; ++i) {
              const double expected = weight[i] * Numbers::rounded(values[i] * rms);
              worst = std::max(worst, relative_error(out[row * stride + i], expected));
            }
            for (int i = width; i < stride; ++i) {
              if (out[row * stride + i] != 0) FAIL("wrote between rows");
            }
          }
          // bf16: the inner rounding may fall the other way, one step more.
          CHECK(worst < tolerance<TestType>(1e-6, 2.0));
          CHECK(out.margin_is_intact());
          CHECK(residual.margin_is_intact());
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("rms norm of heads: each piece of a row alone, in place", "", float, uint16_t) {
  using Numbers = Array<TestType>;
  std::mt19937 generator(5);
  const int rows = 5, heads = 3, stride = 80;
  for (const int width : {6, 16, 24}) {
    const Numbers x = Numbers::random(rows * stride, generator, 2.0f);
    const Numbers weight = Numbers::random(width, generator);
    for (const Isa isa : isas()) {
      const Setting setting(isa, 2);
      INFO("width " << width << " " << name_of(isa));
      Numbers whole = x, alone = x;
      RmsNormArgs args{.type = Numbers::type(),
                       .rows = rows,
                       .width = width,
                       .x = whole.data(),
                       .x_stride = stride,
                       .weight = weight.data(),
                       .eps = 1e-6f,
                       .out = whole.data(),
                       .out_stride = stride};
      rms_norm_heads(args, heads);
      for (int head = 0; head < heads; ++head) {
        args.x = args.out = alone.data() + head * width;
        rms_norm(args);
      }
      for (int i = 0; i < rows * stride; ++i) {
        if (whole[i] != alone[i]) FAIL("differs at " << i);
        if (i % stride >= heads * width && whole[i] != x[i]) FAIL("wrote behind the heads");
      }
      CHECK(whole.margin_is_intact());
    }
  }
}

TEST_CASE("rms norm with a wide weight rounds once, at the end") {
  using Half = Array<uint16_t>;
  using Wide = Array<float>;
  std::mt19937 generator(6);
  const int rows = 4, width = 37;
  const Half x = Half::random(rows * width, generator, 2.0f);
  const Wide weight = Wide::random(width, generator);
  for (const Isa isa : isas()) {
    const Setting setting(isa, 2);
    INFO(name_of(isa));
    Half out(rows * width);
    rms_norm({.type = Half::type(),
              .rows = rows,
              .width = width,
              .x = x.data(),
              .x_stride = width,
              .weight = weight.data(),
              .wide_weight = true,
              .eps = 1e-6f,
              .out = out.data(),
              .out_stride = width});
    double worst = 0;
    for (int row = 0; row < rows; ++row) {
      double squares = 0;
      for (int i = 0; i < width; ++i) squares += double{x[row * width + i]} * x[row * width + i];
      const double rms = 1 / std::sqrt(squares / width + 1e-6);
      for (int i = 0; i < width; ++i) {
        const double expected = x[row * width + i] * rms * weight[i];
        worst = std::max(worst, relative_error(out[row * width + i], expected));
      }
    }
    CHECK(worst < 0.00391);  // half a step of bf16; two roundings reach more
  }
}

constexpr Activation kActivations[] = {Activation::kNone,     Activation::kGelu,
                                       Activation::kGeluTanh, Activation::kQuickGelu,
                                       Activation::kRelu,     Activation::kSilu};

double activated(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kQuickGelu:
      return x / (1 + std::exp(-1.702 * x));
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    default:
      FAIL("has no kernel");
  }
  return x;
}

// What an activation's error is measured beside. GELU's left tail is as exact as 1 + erf in float32
// allows: beside x / 2, not beside itself.
double error_scale(Activation activation, double x, double expected) {
  return std::abs(activation == Activation::kGelu ? x / 2 : expected);
}

TEST_CASE("activate: within rounding of the formulas") {
  std::mt19937 generator(5);
  constexpr int kWidth = 4001;
  Array<float> x(kWidth);
  for (int i = 0; i < kWidth; ++i) x.set(i, static_cast<float>(i - 2000) * 0.005f);
  for (const Isa isa : isas()) {
    for (const Activation activation : kActivations) {
      const Setting setting(isa, 2);
      INFO(name_of(isa) << " activation " << static_cast<int>(activation));
      Array<float> out(kWidth);
      activate(activation, ElementType::kFloat32, 1, kWidth, x.data(), kWidth, out.data(), kWidth);
      double worst = 0;
      for (int i = 0; i < kWidth; ++i) {
        const double expected = activated(activation, x[i]);
        const double scale = std::max(error_scale(activation, x[i], expected), 1e-3);
        worst = std::max(worst, std::abs(out[i] - expected) / scale);
      }
      // The tanh form is asked for as exactly as the reference's own float32 gives it.
      CHECK(worst < (activation == Activation::kGeluTanh ? 2e-5 : 2e-6));
      CHECK(out.margin_is_intact());
    }
  }
}

TEMPLATE_TEST_CASE("gate_mul: the reference's formulas at all sizes of input", "", float,
                   uint16_t) {
  using Numbers = Array<TestType>;
  std::mt19937 generator(4);
  for (const int width : {1, 5, 80, 1536}) {
    const int rows = 3;
    const int stride = 2 * width + 1;
    Numbers x = Numbers::random(rows * stride, generator, 6.0f);
    const float extremes[] = {0.0f, -88.5f, -200.0f, 200.0f, 1e30f, -1e30f};
    for (int i = 0; i < std::min(width, 6); ++i) x.set(i, extremes[i]);
    for (const Isa isa : isas()) {
      for (const Activation gate : kActivations) {
        const Setting setting(isa, 2);
        INFO("width " << width << " " << name_of(isa) << " gate " << static_cast<int>(gate));
        Numbers out(rows * (width + 2));
        gate_mul(gate, Numbers::type(), rows, width, x.data(), stride, out.data(), width + 2);
        double worst = 0;
        for (int row = 0; row < rows; ++row) {
          for (int i = 0; i < width; ++i) {
            const double in = x[row * stride + i];
            const double up = x[row * stride + width + i];
            const double opened = Numbers::rounded(activated(gate, in));
            const double expected = Numbers::rounded(opened * up);
            const double scale = std::max(error_scale(gate, in, opened) * std::abs(up), 1.0);
            worst = std::max(worst, std::abs(out[row * (width + 2) + i] - expected) / scale);
          }
        }
        CHECK(worst < tolerance<TestType>(4e-6, 2.0));
        CHECK(out.margin_is_intact());
      }
    }
  }
}

TEMPLATE_TEST_CASE("rope: rotates halves, writes keys and values to their slots", "", float,
                   uint16_t) {
  using Numbers = Array<TestType>;
  struct Shape {
    int heads, kv_heads, head_dim, rotary_dim, block_size;
  };
  std::mt19937 generator(5);
  for (const Shape& s : {Shape{9, 3, 64, 64, 16}, Shape{6, 2, 8, 8, 4}, Shape{2, 2, 80, 32, 16},
                         Shape{1, 1, 6, 2, 3}, Shape{4, 1, 34, 34, 16}, Shape{2, 1, 16, 0, 16}}) {
    for (const int tokens : {1, 29}) {
      const int half = s.rotary_dim / 2;
      const int blocks = 10;
      const int stride = (s.heads + 2 * s.kv_heads) * s.head_dim + 3;
      const Numbers qkv = Numbers::random(tokens * stride, generator);
      Array<float> cos(tokens * half + 1);
      Array<float> sin(tokens * half + 1);
      for (int i = 0; i < tokens * half; ++i) {
        cos.set(i, std::cos(0.37f * i));
        sin.set(i, std::sin(0.37f * i));
      }
      std::vector<int64_t> slots(blocks * s.block_size);
      for (size_t i = 0; i < slots.size(); ++i) slots[i] = i;
      std::shuffle(slots.begin(), slots.end(), generator);
      slots.resize(tokens);
      slots[tokens / 2] = tokens > 1 ? -1 : slots[0];
      const size_t pool = blocks * s.kv_heads * s.block_size * s.head_dim;
      // The rotated element i of a head that starts at `from`.
      const auto rotated = [&](int token, size_t from, int i) {
        if (i >= s.rotary_dim) return qkv[from + i];
        const double c = cos[token * half + i % half];
        const double n = sin[token * half + i % half];
        return i < half ? qkv[from + i] * c - qkv[from + i + half] * n
                        : qkv[from + i] * c + qkv[from + i - half] * n;
      };
      for (const Isa isa : isas()) {
        const Setting setting(isa, 2);
        INFO("head_dim " << s.head_dim << " tokens " << tokens << " " << name_of(isa));
        Numbers rows = qkv;
        Numbers keys(pool);
        Numbers values(pool);
        rope_and_write_kv({.type = Numbers::type(),
                           .num_tokens = tokens,
                           .heads = s.heads,
                           .kv_heads = s.kv_heads,
                           .head_dim = s.head_dim,
                           .rotary_dim = s.rotary_dim,
                           .qkv = rows.data(),
                           .qkv_stride = stride,
                           .cos = cos.data(),
                           .sin = sin.data(),
                           .table_stride = half,
                           .slots = slots.data(),
                           .k_pool = keys.data(),
                           .v_pool = values.data(),
                           .block_size = s.block_size});
        double worst = 0;
        size_t written = 0;
        for (int token = 0; token < tokens; ++token) {
          for (int head = 0; head < s.heads + s.kv_heads; ++head) {
            const size_t from = static_cast<size_t>(token) * stride + head * s.head_dim;
            const bool is_key = head >= s.heads;
            if (is_key && slots[token] < 0) continue;
            const size_t slot =
                ((slots[token] / s.block_size * s.kv_heads + head - s.heads) * s.block_size +
                 slots[token] % s.block_size) *
                s.head_dim;
            for (int i = 0; i < s.head_dim; ++i) {
              const double got = is_key ? keys[slot + i] : rows[from + i];
              worst = std::max(worst, relative_error(got, rotated(token, from, i)));
              if (!is_key) continue;
              ++written;
              if (values[slot + i] != qkv[from + s.kv_heads * s.head_dim + i]) FAIL("value");
            }
          }
        }
        CHECK(worst < tolerance<TestType>(5e-7));
        size_t nonzero = 0;
        for (size_t i = 0; i < pool; ++i) nonzero += values[i] != 0;
        CHECK(nonzero <= written);  // no other slot was touched
        CHECK(nonzero + 3 > written);
        CHECK(rows.margin_is_intact());
        CHECK(keys.margin_is_intact());
        CHECK(values.margin_is_intact());
      }
    }
  }
}

namespace {

// A head's key and value in an int8 pool behind `row` numbers: nearest multiples of a step that
// takes the largest of them to 127.
template <typename T>
void check_bytes(const std::vector<double>& row, const int8_t* bytes, float scale) {
  double largest = 0;
  for (const double x : row) largest = std::max(largest, std::abs(x));
  CHECK(std::abs(scale - largest / 127) <= 1e-6 * largest);
  // Keys are rounded to T before: a bf16's last place is beside their step.
  const double slack = largest * tolerance<T>(1e-6);
  double worst = 0;
  int most = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    worst = std::max(worst, std::abs(bytes[i] * double{scale} - row[i]));
    most = std::max(most, std::abs(int{bytes[i]}));
  }
  CHECK(worst <= scale / 2.0 + slack);
  CHECK(most == (largest > 0 ? 127 : 0));
}

}  // namespace

TEMPLATE_TEST_CASE("rope: keys and values of an int8 pool", "", float, uint16_t) {
  using Numbers = Array<TestType>;
  constexpr int kHeads = 2, kKvHeads = 2, kTokens = 5, kBlock = 4, kBlocks = 3;
  const std::vector<int64_t> slots = {9, 2, -1, 7, 0};
  std::mt19937 generator(8);
  // A quarter turn: (x1, x2) -> (-x2, x1).
  const std::vector<float> cos(kTokens * 4, 0.0f), sin(kTokens * 4, 1.0f);
  for (const int head_dim : {1, 8, 13, 64, 80, 256}) {
    const int half = head_dim > 1 ? 4 : 0;
    for (const Isa isa : isas()) {
      const Setting setting(isa, 2);
      INFO("head_dim " << head_dim << " " << name_of(isa));
      const int stride = (kHeads + 2 * kKvHeads) * head_dim;
      Numbers qkv = Numbers::random(kTokens * stride, generator, 3.0f);
      const auto key_at = [&](int token, int head) {
        return static_cast<size_t>(token) * stride + (kHeads + head) * head_dim;
      };
      const size_t values = kKvHeads * head_dim;  // of a token, behind its keys
      for (int i = 0; i < head_dim; ++i) {
        qkv.set(key_at(1, 0) + i, 0.0f);                             // a key of zeros
        qkv.set(key_at(1, 1) + values + i, i == 0 ? 1e-30f : 0.0f);  // a value next to nothing
      }
      qkv.set(key_at(3, 0) + head_dim - 1, std::nanf(""));
      qkv.set(key_at(3, 1) + values, INFINITY);
      const size_t rows = kBlocks * kKvHeads * kBlock;
      std::vector<int8_t> k_pool(rows * head_dim, 99), v_pool = k_pool;
      std::vector<float> k_scales(rows, -1), v_scales = k_scales;
      rope_and_write_kv({.type = Numbers::type(),
                         .num_tokens = kTokens,
                         .heads = kHeads,
                         .kv_heads = kKvHeads,
                         .head_dim = head_dim,
                         .rotary_dim = 2 * half,
                         .qkv = qkv.data(),
                         .qkv_stride = stride,
                         .cos = cos.data(),
                         .sin = sin.data(),
                         .table_stride = 4,
                         .slots = slots.data(),
                         .k_pool = k_pool.data(),
                         .v_pool = v_pool.data(),
                         .k_scales = k_scales.data(),
                         .v_scales = v_scales.data(),
                         .block_size = kBlock});
      for (int token = 0; token < kTokens; ++token) {
        if (slots[token] < 0) continue;
        for (int head = 0; head < kKvHeads; ++head) {
          const size_t row =
              (slots[token] / kBlock * kKvHeads + head) * kBlock + slots[token] % kBlock;
          std::vector<double> key, value;
          for (int i = 0; i < head_dim; ++i) {
            key.push_back(qkv[key_at(token, head) + i]);
            value.push_back(qkv[key_at(token, head) + values + i]);
          }
          for (int i = 0; i < half; ++i) key[i] = -std::exchange(key[i + half], key[i]);
          if (token == 3 && head == 0) {
            CHECK(std::isnan(k_scales[row]));
          } else {
            check_bytes<TestType>(key, &k_pool[row * head_dim], k_scales[row]);
          }
          if (token == 3 && head == 1) {
            CHECK(std::isnan(v_scales[row]));
          } else {
            check_bytes<TestType>(value, &v_pool[row * head_dim], v_scales[row]);
          }
        }
      }
      // Four tokens were written, and nothing else.
      CHECK(std::count(k_scales.begin(), k_scales.end(), -1.0f) ==
            static_cast<int64_t>(rows - 4 * kKvHeads));
      CHECK(std::count(v_scales.begin(), v_scales.end(), -1.0f) ==
            static_cast<int64_t>(rows - 4 * kKvHeads));
      CHECK(std::count(k_pool.begin(), k_pool.end(), 99) >=
            static_cast<int64_t>((rows - 4 * kKvHeads) * head_dim));
    }
  }
}
