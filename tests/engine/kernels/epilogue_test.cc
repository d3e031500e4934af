// What a linear layer does on the way is what kernels of their own do behind it.
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <string>

#include "engine/kernels/packed_linear.h"
#include "tests/engine/kernels/kernel_fixture.h"

using namespace saccade::kernels;           // NOLINT
using namespace saccade::kernels::testing;  // NOLINT

namespace {

constexpr int64_t kDepth = 70;

// A weight [n, kDepth] in one format, rows to multiply, and the plain results.
template <typename T>
struct Layer {
  Layer(WeightFormat format, int64_t m, int64_t n, unsigned seed)
      : m(m),
        n(n),
        generator(seed),
        x(Array<T>::random(m * kDepth, generator)),
        bias(Array<float>::random(n, generator)),
        w(Array<T>::random(n * kDepth, generator, 0.3f)),
        linear(PackedLinear::pack(w.data(), Array<T>::type(), n, kDepth, format)) {}

  Array<T> run(const Epilogue& epilogue = {}) const {
    Array<T> y(m * (n + 3));
    linear.run(x.data(), Array<T>::type(), kDepth, m, bias.data(), y.data(), n + 3,
               Array<T>::type(), epilogue);
    CHECK(y.margin_is_intact());
    return y;
  }

  int64_t m, n;
  std::mt19937 generator;
  Array<T> x;
  Array<float> bias;
  Array<T> w;
  PackedLinear linear;
};

// Up to the last place: the compiler may join other multiplications and additions here and there.
template <typename T>
bool alike(const Array<T>& a, const Array<T>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = relative_error(a[i], b[i]);
    if (!(error <= worst)) worst = error;  // NaN too
  }
  return worst < (sizeof(T) == 4 ? 1e-6 : 1.01 / 128);
}

// Each format that takes T, each instruction set, a few row counts.
template <typename T, typename Check>
void for_all(const Check& check) {
  const WeightFormat stored = sizeof(T) == 4 ? WeightFormat::kFloat32 : WeightFormat::kBFloat16;
  for (const Isa isa : isas()) {
    for (const WeightFormat format : {stored, WeightFormat::kInt8, WeightFormat::kInt4}) {
      for (const int64_t m : {1, 3, 8, 40, 130}) {
        const Setting setting(isa, 2);
        INFO(name_of(isa) << " format " << static_cast<int>(format) << " m " << m);
        check(format, m);
      }
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("epilogue: activations and a residual", "", float, uint16_t) {
  for_all<TestType>([](WeightFormat format, int64_t m) {
    for (const int64_t n : {1, 45, 96}) {
      Layer<TestType> layer(format, m, n, 1);
      const int64_t stride = n + 3;
      const Array<TestType> plain = layer.run();
      const Array<TestType> residual = Array<TestType>::random(m * n, layer.generator);
      for (const Activation activation :
           {Activation::kNone, Activation::kGelu, Activation::kQuickGelu, Activation::kRelu}) {
        INFO("n " << n << " activation " << static_cast<int>(activation));
        Array<TestType> expected = plain;
        activate(activation, Array<TestType>::type(), m, n, plain.data(), stride, expected.data(),
                 stride);
        CHECK(alike(layer.run({.activation = activation}), expected));
        for (int64_t row = 0; row < m; ++row) {
          for (int64_t i = 0; i < n; ++i) {
            const size_t at = row * stride + i;
            expected.set(
                at, static_cast<float>(residual[row * n + i]) + static_cast<float>(expected[at]));
          }
        }
        CHECK(alike(
            layer.run(
                {.activation = activation, .residual = residual.data(), .residual_stride = n}),
            expected));
      }
    }
  });
}
