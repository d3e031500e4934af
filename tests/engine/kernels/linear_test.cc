#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cstring>

#include "engine/kernels/packed_linear.h"
#include "tests/engine/kernels/kernel_fixture.h"

using namespace saccade::kernels;           // NOLINT
using namespace saccade::kernels::testing;  // NOLINT

namespace {

template <typename T>
PackedLinear pack(const Array<T>& w, int64_t n, int64_t k) {
  return PackedLinear::pack(w.data(), Array<T>::type(), n, k,
                            sizeof(T) == 4 ? WeightFormat::kFloat32 : WeightFormat::kBFloat16);
}

// Products of numbers around 1 and 1 / sqrt(k): results around 1.
template <typename T, typename Out>
double worst_error(int64_t m, int64_t n, int64_t k, bool with_bias, std::mt19937& generator) {
  const int64_t x_stride = k + 3;
  const int64_t y_stride = n + 2;
  const Array<T> x = Array<T>::random(m * x_stride, generator);
  const Array<T> w = Array<T>::random(n * k, generator, 1 / std::sqrt(static_cast<float>(k)));
  const Array<float> bias = Array<float>::random(n, generator);
  const PackedLinear linear = pack(w, n, k);
  Array<Out> y(m * y_stride);
  linear.run(x.data(), Array<T>::type(), x_stride, m, with_bias ? bias.data() : nullptr, y.data(),
             y_stride, Array<Out>::type());
  if (!y.margin_is_intact()) return 1e9;
  double worst = 0;
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      double expected = with_bias ? bias[column] : 0;
      for (int64_t i = 0; i < k; ++i) expected += x[row * x_stride + i] * w[column * k + i];
      const double error = relative_error(y[row * y_stride + column], expected);
      if (!(error <= worst)) worst = error;
    }
    if (y[row * y_stride + n] != 0 || y[row * y_stride + n + 1] != 0) return 1e9;
  }
  return worst;
}

}  // namespace

TEST_CASE("linear: equals float64 products for every kind of row count and odd size") {
  std::mt19937 generator(6);
  struct Size {
    int64_t n, k;
  };
  for (const Size& size :
       {Size{1, 1}, Size{31, 7}, Size{32, 32}, Size{33, 48}, Size{80, 65}, Size{192, 160}}) {
    for (const int64_t m : {1, 2, 3, 5, 8, 12, 13, 16, 17, 32, 47, 97, 130}) {
      for (const Isa isa : isas()) {
        const Setting setting(isa, m % 2 == 0 ? 2 : 3);
        const bool bias = (m + size.n) % 2 == 0;
        INFO("m " << m << " n " << size.n << " k " << size.k << " " << name_of(isa));
        CHECK(worst_error<float, float>(m, size.n, size.k, bias, generator) < 5e-6);
        CHECK(worst_error<uint16_t, float>(m, size.n, size.k, bias, generator) < 5e-6);
        CHECK(worst_error<uint16_t, uint16_t>(m, size.n, size.k, bias, generator) < 1.01 / 256);
      }
    }
  }
}

TEMPLATE_TEST_CASE("linear: a row's result does not depend on the rows beside it", "", float,
                   uint16_t) {
  std::mt19937 generator(7);
  const int64_t n = 96;
  const int64_t k = 200;
  const int64_t m = 150;
  const Array<TestType> x = Array<TestType>::random(m * k, generator);
  const Array<TestType> w = Array<TestType>::random(n * k, generator, 0.07f);
  const PackedLinear linear = pack(w, n, k);
  const auto rows = [&](int64_t first, int64_t count) {
    std::vector<float> y(count * n);
    linear.run(x.data() + first * k, Array<TestType>::type(), k, count, nullptr, y.data(), n,
               ElementType::kFloat32);
    return y;
  };
  for (const Isa isa : isas()) {
    const Setting setting(isa, 2);
    INFO(name_of(isa));
    const std::vector<float> all = rows(0, m);
    // With tiles the promise holds among calls that use tiles.
    const bool tiles = isa == Isa::kAmx && sizeof(TestType) == 2;
    const int64_t least = tiles ? 8 : 1;
    for (const int64_t count : {least, least + 1, least + 4, int64_t{29}, int64_t{64}}) {
      for (const int64_t first : {int64_t{0}, int64_t{37}, m - count}) {
        const std::vector<float> some = rows(first, count);
        INFO("rows " << first << " + " << count);
        CHECK(std::equal(some.begin(), some.end(), all.begin() + first * n));
      }
    }
  }
}

TEST_CASE("linear: packs from unaligned memory") {
  std::mt19937 generator(8);
  const int64_t n = 40;
  const int64_t k = 33;
  const Array<float> w = Array<float>::random(n * k, generator);
  const Array<float> x = Array<float>::random(k, generator);
  std::vector<char> file(w.size() * sizeof(float) + 3);
  std::memcpy(file.data() + 3, w.data(), w.size() * sizeof(float));
  std::vector<float> expected(n), got(n);
  constexpr ElementType kFloat = ElementType::kFloat32;
  pack(w, n, k).run(x.data(), kFloat, k, 1, nullptr, expected.data(), n, kFloat);
  const PackedLinear linear =
      PackedLinear::pack(file.data() + 3, kFloat, n, k, WeightFormat::kFloat32);
  linear.run(x.data(), kFloat, k, 1, nullptr, got.data(), n, ElementType::kFloat32);
  CHECK(got == expected);
  CHECK(linear.out_features() == n);
  CHECK(linear.in_features() == k);
  CHECK(linear.bytes() == 64 * 33 * sizeof(float));  // 40 columns are two panels of 32
}
