#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <limits>

#include "engine/kernels/packed_linear.h"
#include "engine/kernels/quantize.h"
#include "tests/engine/kernels/kernel_fixture.h"

using namespace saccade::kernels;           // NOLINT
using namespace saccade::kernels::testing;  // NOLINT

namespace {

double dequantized(const QuantizedGroup& group, int i) {
  return double{half_to_float(group.scale)} * group.q[i] + half_to_float(group.min);
}

// Rows of [count, k] replaced by what their groups stand for.
std::vector<double> rounded_weights(const std::vector<double>& w, int64_t count, int64_t k,
                                    WeightFormat format) {
  std::vector<double> out(count * k);
  for (int64_t row = 0; row < count; ++row) {
    for (int64_t first = 0; first < k; first += kQuantGroup) {
      const int64_t size = std::min<int64_t>(kQuantGroup, k - first);
      float values[kQuantGroup] = {};
      for (int64_t i = 0; i < size; ++i) {
        values[i] = static_cast<float>(w[row * k + first + i]);
      }
      const QuantizedGroup group =
          format == WeightFormat::kInt8 ? quantize_int8(values) : quantize_int4(values);
      for (int64_t i = 0; i < size; ++i) out[row * k + first + i] = dequantized(group, i);
    }
  }
  return out;
}

// Activations as the kernels round them: 127 levels to each side of the group's largest magnitude.
std::vector<double> rounded_activations(const std::vector<double>& x, int64_t m, int64_t k) {
  std::vector<double> out(x.size());
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t first = 0; first < k; first += kQuantGroup) {
      const int64_t end = std::min<int64_t>(first + kQuantGroup, k);
      float top = 0;
      for (int64_t i = first; i < end; ++i) {
        top = std::max(top, std::fabs(static_cast<float>(x[row * k + i])));
      }
      const float inverse = top > 0 ? 127.0f / top : 0.0f;
      for (int64_t i = first; i < end; ++i) {
        const float level = std::nearbyint(static_cast<float>(x[row * k + i]) * inverse);
        out[row * k + i] = double{level} * (top / 127.0f);
      }
    }
  }
  return out;
}

template <typename T>
std::vector<double> numbers(const Array<T>& array) {
  std::vector<double> out(array.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = array[i];
  return out;
}

struct Errors {
  double rounded = 0;  // against products of the rounded operands: what the kernel adds
  double exact = 0;    // against products of the operands themselves, root mean square
};

template <typename T>
Errors errors_of(WeightFormat format, int64_t m, int64_t n, int64_t k, std::mt19937& generator) {
  const Array<T> x = Array<T>::random(m * k, generator);
  const Array<T> w = Array<T>::random(n * k, generator, 1 / std::sqrt(static_cast<float>(k)));
  const Array<float> bias = Array<float>::random(n, generator);
  const PackedLinear linear = PackedLinear::pack(w.data(), Array<T>::type(), n, k, format);
  Array<float> y(m * n);
  linear.run(x.data(), Array<T>::type(), k, m, bias.data(), y.data(), n, ElementType::kFloat32);
  REQUIRE(y.margin_is_intact());
  const std::vector<double> plain_x = numbers(x), plain_w = numbers(w);
  const std::vector<double> round_x = rounded_activations(plain_x, m, k);
  const std::vector<double> round_w = rounded_weights(plain_w, n, k, format);
  Errors errors;
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      double exact = bias[column], rounded = bias[column];
      for (int64_t i = 0; i < k; ++i) {
        exact += plain_x[row * k + i] * plain_w[column * k + i];
        rounded += round_x[row * k + i] * round_w[column * k + i];
      }
      const double got = y[row * n + column];
      errors.rounded = std::max(errors.rounded, relative_error(got, rounded));
      errors.exact += (got - exact) * (got - exact);
    }
  }
  errors.exact = std::sqrt(errors.exact / static_cast<double>(m * n));
  return errors;
}

}  // namespace

TEMPLATE_TEST_CASE("quantized linear: equals products of the rounded operands", "", float,
                   uint16_t) {
  std::mt19937 generator(11);
  struct Size {
    int64_t n, k;
  };
  for (const Size& size :
       {Size{1, 1}, Size{31, 7}, Size{32, 32}, Size{33, 48}, Size{80, 65}, Size{192, 160}}) {
    for (const int64_t m : {1, 2, 3, 4, 5, 8, 9, 16, 63, 66}) {
      for (const Isa isa : isas()) {
        const Setting setting(isa, m % 2 == 0 ? 2 : 3);
        INFO("m " << m << " n " << size.n << " k " << size.k << " " << name_of(isa));
        CHECK(errors_of<TestType>(WeightFormat::kInt8, m, size.n, size.k, generator).rounded <
              1e-5);
        CHECK(errors_of<TestType>(WeightFormat::kInt4, m, size.n, size.k, generator).rounded <
              1e-5);
      }
    }
  }
}

TEST_CASE("quantized linear: results around 1 are near the exact ones") {
  std::mt19937 generator(12);
  CHECK(errors_of<float>(WeightFormat::kInt8, 8, 256, 512, generator).exact < 0.012);
  CHECK(errors_of<float>(WeightFormat::kInt4, 8, 256, 512, generator).exact < 0.11);
}

TEST_CASE("quantized linear: a row's result does not depend on the rows beside it") {
  std::mt19937 generator(13);
  const int64_t n = 96, k = 200, m = 70;
  const Array<float> x = Array<float>::random(m * k, generator);
  const Array<float> w = Array<float>::random(n * k, generator, 0.07f);
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
    const PackedLinear linear = PackedLinear::pack(w.data(), ElementType::kFloat32, n, k, format);
    const auto rows = [&](int64_t first, int64_t count) {
      std::vector<float> y(count * n);
      linear.run(x.data() + first * k, ElementType::kFloat32, k, count, nullptr, y.data(), n,
                 ElementType::kFloat32);
      return y;
    };
    const std::vector<float> all = rows(0, m);
    for (const int64_t count : {1, 2, 3, 5, 7, 64}) {
      const std::vector<float> some = rows(m - count, count);
      CHECK(std::equal(some.begin(), some.end(), all.end() - count * n));
    }
  }
}

TEST_CASE("quantized linear: memory per weight") {
  const std::vector<float> w(64 * 64);
  const auto bytes = [&](WeightFormat format) {
    return PackedLinear::pack(w.data(), ElementType::kFloat32, 64, 64, format).bytes();
  };
  CHECK(bytes(WeightFormat::kInt8) == 64 * 64 * 17 / 16);
  CHECK(bytes(WeightFormat::kInt4) == 64 * 64 * 5 / 8);
}

TEST_CASE("quantize: groups keep what they hold exactly") {
  float w[kQuantGroup];
  for (int i = 0; i < kQuantGroup; ++i) w[i] = 0.25f * static_cast<float>(i % 16) - 1.5f;
  const QuantizedGroup four = quantize_int4(w);
  for (int i = 0; i < kQuantGroup; ++i) CHECK(dequantized(four, i) == w[i]);

  for (int i = 0; i < kQuantGroup; ++i) w[i] = 0.5f * static_cast<float>(i * 8 - 127);
  const QuantizedGroup eight = quantize_int8(w);
  for (int i = 0; i < kQuantGroup; ++i) CHECK(std::fabs(dequantized(eight, i) - w[i]) <= 0.25);
  CHECK(eight.q[0] == -127);

  std::fill(w, w + kQuantGroup, 0.0f);
  CHECK(dequantized(quantize_int8(w), 3) == 0);
  CHECK(dequantized(quantize_int4(w), 3) == 0);
  std::fill(w, w + kQuantGroup, 0.75f);
  CHECK(dequantized(quantize_int4(w), 3) == 0.75);
  w[5] = std::numeric_limits<float>::infinity();
  CHECK(!std::isfinite(dequantized(quantize_int8(w), 5)));
  CHECK(!std::isfinite(half_to_float(quantize_int4(w).scale)));
}

TEST_CASE("quantize: binary16 rounds to nearest even and keeps every half") {
  for (int bits = 0; bits < 1 << 16; ++bits) {
    const float value = half_to_float(static_cast<uint16_t>(bits));
    if (value != value) {
      CHECK(half_to_float(float_to_half(value)) != half_to_float(float_to_half(value)));
    } else {
      REQUIRE(float_to_half(value) == bits);
    }
  }
  CHECK(float_to_half(65519.0f) == 0x7bff);
  CHECK(float_to_half(65520.0f) == 0x7c00);
  CHECK(float_to_half(1.0f + 0x1p-11f) == 0x3c00);
  CHECK(float_to_half(1.0f + 3 * 0x1p-11f) == 0x3c02);
  CHECK(float_to_half(0x1p-25f) == 0);
  CHECK(float_to_half(0x1.8p-25f) == 1);
}
