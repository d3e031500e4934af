#include "engine/kernels/sampling.h"

#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <numeric>

#include "tests/engine/kernels/kernel_fixture.h"

using namespace saccade::kernels;           // NOLINT
using namespace saccade::kernels::testing;  // NOLINT

namespace {
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
}  // namespace

TEST_CASE("log_sum_exp: equals float64 at every size") {
  std::mt19937 generator(9);
  for (const Isa isa : isas()) {
    const Setting setting(isa, 1);
    INFO(name_of(isa));
    for (const int n : {1, 2, 15, 16, 17, 300, 49152}) {
      for (const float offset : {0.0f, 500.0f, -500.0f}) {
        Array<float> logits = Array<float>::random(n, generator, 4.0f);
        for (int i = 0; i < n; ++i) logits.set(i, logits[i] + offset);
        if (n > 2) logits.set(1, -kInf);  // a masked token
        double sum = 0;
        for (int i = 0; i < n; ++i) sum += std::exp(logits[i] - offset);
        const double expected = offset + std::log(sum);
        CHECK(relative_error(log_sum_exp(logits.data(), n), expected) < 1e-6);
      }
    }
    const float none[] = {-kInf, -kInf};
    CHECK(log_sum_exp(none, 2) == -kInf);
    const float above[] = {kInf, 1.0f};
    CHECK(log_sum_exp(above, 2) == kInf);
  }
}

TEST_CASE("argmax: the first of equals, numbers before NaNs") {
  const float ties[] = {1, 3, 2, 3, 3};
  CHECK(argmax(ties, 5) == 1);
  const float nans[] = {kNan, -kInf, kNan, -2, kNan};
  CHECK(argmax(nans, 5) == 3);
  CHECK(argmax(nans, 2) == 1);
  CHECK(argmax(nans, 1) == 0);
  const float low[] = {-kInf, -kInf};
  CHECK(argmax(low, 2) == 0);
}

TEST_CASE("top_k: equals a stable sort") {
  std::mt19937 generator(10);
  for (const int n : {1, 5, 20, 1000}) {
    std::vector<float> values(n);
    for (float& value : values) value = static_cast<float>(generator() % 50);  // many ties
    std::vector<int64_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return values[a] > values[b]; });
    for (const int k : {0, 1, 3, 20}) {
      std::vector<int64_t> indices(20);
      std::vector<float> top(20);
      const int count = top_k(values.data(), n, k, indices.data(), top.data());
      REQUIRE(count == std::min(n, k));
      CHECK(std::equal(indices.begin(), indices.begin() + count, order.begin()));
      for (int i = 0; i < count; ++i) CHECK(top[i] == values[order[i]]);
    }
  }
  const float odd[] = {kNan, 1, kNan, -kInf};
  int64_t indices[4];
  float top[4];
  REQUIRE(top_k(odd, 4, 4, indices, top) == 2);
  CHECK(indices[0] == 1);
  CHECK(indices[1] == 3);
}
