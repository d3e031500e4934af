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

TEST_CASE("softmax_weights: equals float64, in blocks with their sums and maxima") {
  std::mt19937 generator(12);
  for (const Isa isa : isas()) {
    const Setting setting(isa, 1);
    INFO(name_of(isa));
    for (const int n : {1, 3, 255, 256, 257, 1000}) {
      for (const float least : {0.0f, 0.01f}) {
        Array<float> logits = Array<float>::random(n, generator, 4.0f);
        if (n > 2) logits.set(1, -kInf);  // a masked token
        const float top = max_value(logits.data(), n);
        CHECK(top == *std::max_element(logits.data(), logits.data() + n));
        const int blocks =
            (n + static_cast<int>(kWeightBlock) - 1) / static_cast<int>(kWeightBlock);
        std::vector<float> weights(n), sums(blocks), maxima(blocks);
        const TokenWeights tokens{weights.data(), n, sums.data(), maxima.data()};
        softmax_weights(logits.data(), 0.7f, least, tokens);
        std::vector<double> expected_sums(blocks);
        std::vector<float> expected_maxima(blocks);
        for (int i = 0; i < n; ++i) {
          const double weight = std::exp((static_cast<double>(logits[i]) - top) * 0.7f);
          CHECK((weight < least ? weights[i] == 0 : relative_error(weights[i], weight) < 1e-6));
          if (logits[i] == top) CHECK(weights[i] == 1);
          expected_sums[i / kWeightBlock] += weights[i];
          expected_maxima[i / kWeightBlock] =
              std::max(expected_maxima[i / kWeightBlock], weights[i]);
        }
        CHECK(maxima == expected_maxima);
        for (int b = 0; b < blocks; ++b) {
          CHECK(std::abs(sums[b] - expected_sums[b]) <= 1e-6 * expected_sums[b]);
        }
        const float bound = weights[n / 2] > 0 ? weights[n / 2] : 0.1f;  // one weighs just as much
        WeightMass expected{0, 0};
        for (const float weight : weights) {
          if (weight >= bound) expected = {expected.count + 1, expected.sum + weight};
        }
        for (int pass = 0; pass < 2; ++pass) {
          const WeightMass mass = mass_at_least(tokens, bound);
          CHECK(mass.count == expected.count);
          CHECK(std::abs(mass.sum - expected.sum) <= 1e-6 * expected.sum);
          drop_below(tokens, bound);  // what is counted is left, nothing else
        }
        CHECK(std::count(weights.begin(), weights.end(), 0.0f) == n - expected.count);
        CHECK(std::abs(std::accumulate(sums.begin(), sums.end(), 0.0) - expected.sum) <=
              1e-6 * expected.sum);
        CHECK(*std::max_element(maxima.begin(), maxima.end()) == 1);
      }
    }
    const float odd[] = {1, kNan};
    float weights[2], sum, most;
    softmax_weights(odd, 1, 0, {weights, 2, &sum, &most});
    CHECK(std::isnan(sum));
    CHECK(max_value(odd, 2) == 1);
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
