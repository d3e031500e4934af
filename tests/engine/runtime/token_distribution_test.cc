#include "engine/runtime/token_distribution.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>

namespace saccade {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

SamplingParams cuts(float temperature, int top_k = 0, float top_p = 1, float min_p = 0) {
  SamplingParams params;
  params.temperature = temperature;
  params.top_k = top_k;
  params.top_p = top_p;
  params.min_p = min_p;
  return params;
}

// The definition, in float64 and by sorting: the probability of each token, 0 for what is cut.
std::vector<double> probabilities(const std::vector<float>& logits, const SamplingParams& params) {
  const double top = *std::max_element(logits.begin(), logits.end());
  std::vector<double> weights;
  for (const float logit : logits) weights.push_back(std::exp((logit - top) / params.temperature));
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  const auto drop_from = [&](size_t kept) {
    for (size_t i = kept; i < order.size(); ++i) weights[order[i]] = 0;
  };
  for (double& weight : weights) weight = weight < params.min_p ? 0 : weight;
  if (params.top_k > 0) drop_from(params.top_k);
  double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double held = 0;
  size_t kept = 0;
  while (kept < order.size() && held < params.top_p * total) held += weights[order[kept++]];
  drop_from(std::max<size_t>(kept, 1));
  total = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight /= total;
  return weights;
}

// Draws at places all along the running sum and compares with the definition's; a token whose
// border lies within rounding of the place may be its neighbour.
void check_draws(const std::vector<float>& logits, const SamplingParams& params) {
  const std::vector<double> expected = probabilities(logits, params);
  std::vector<double> running(expected.size());
  std::partial_sum(expected.begin(), expected.end(), running.begin());
  TokenDistribution distribution;
  for (int i = 0; i < 60; ++i) {
    const double place = i / 60.0;
    const size_t token = distribution.draw(logits, params, place);
    INFO("vocab " << logits.size() << " t " << params.temperature << " k " << params.top_k << " p "
                  << params.top_p << " min_p " << params.min_p << " place " << place);
    CHECK(expected[token] > 0);
    constexpr double kRounding = 2e-5;
    CHECK(place < running[token] + kRounding);
    CHECK(place > running[token] - expected[token] - kRounding);
  }
}

std::vector<float> random_logits(size_t vocab, float spread, std::mt19937& generator) {
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(vocab);
  for (float& logit : logits) logit = normal(generator);
  return logits;
}

}  // namespace

TEST_CASE("draws are those of the sorted definition") {
  std::mt19937 generator(31);
  for (const size_t vocab : {1u, 2u, 7u, 255u, 256u, 257u, 3000u}) {
    for (const float spread : {0.1f, 1.0f, 6.0f}) {
      const std::vector<float> logits = random_logits(vocab, spread, generator);
      for (const float temperature : {0.3f, 1.0f, 1.9f}) {
        check_draws(logits, cuts(temperature));
        check_draws(logits, cuts(temperature, 0, 1, 0.05f));
        for (const int k : {1, 5, 12, 40, 700, 5000}) check_draws(logits, cuts(temperature, k));
        for (const float p : {0.1f, 0.5f, 0.9f, 0.999f}) {
          check_draws(logits, cuts(temperature, 0, p));
          check_draws(logits, cuts(temperature, 50, p, 0.01f));
        }
      }
    }
  }
}

TEST_CASE("of equals the smaller ids are kept") {
  TokenDistribution distribution;
  std::vector<float> logits(1000, 2.0f);
  for (int i = 0; i < 1000; i += 2) logits[i] = 1.0f;  // the best are the odd ids
  for (const double place : {0.0, 0.3, 0.6, 0.9999999}) {
    const TokenId of_three = distribution.draw(logits, cuts(1, 3), place);
    CHECK((of_three == 1 || of_three == 3 || of_three == 5));
    CHECK(distribution.draw(logits, cuts(1, 1), place) == 1);
    CHECK(distribution.draw(logits, cuts(1, 0, 1e-6f), place) == 1);
  }
  CHECK(distribution.draw(logits, cuts(1, 3), 0.99) == 5);
  for (int i = 0; i < 100; ++i) {  // 500 odd ids, 200 even ones
    const TokenId of_many = distribution.draw(logits, cuts(1, 700), i / 100.0);
    CHECK((of_many % 2 == 1 || of_many <= 398));
  }
}

TEST_CASE("masked tokens are never drawn") {
  std::mt19937 generator(8);
  std::vector<float> logits = random_logits(5000, 1, generator);
  for (size_t i = 0; i < logits.size(); ++i) {
    if (i % 1000 != 7) logits[i] = -kInf;
  }
  TokenDistribution distribution;
  for (const SamplingParams& params :
       {cuts(1), cuts(1, 3), cuts(1, 4000), cuts(2, 0, 0.99f), cuts(1, 100, 0.9f)}) {
    for (int i = 0; i <= 100; ++i) {
      const double place = std::min(i / 100.0, std::nextafter(1.0, 0.0));
      CHECK(distribution.draw(logits, params, place) % 1000 == 7);
    }
  }
}

TEST_CASE("temperatures far from one") {
  TokenDistribution distribution;
  const std::vector<float> logits = {1, 3, 2};
  for (const float cold : {1e-3f, 1e-20f, 1e-40f}) {
    for (const double place : {0.0, 0.5, 0.999}) {
      CHECK(distribution.draw(logits, cuts(cold), place) == 1);
    }
  }
  CHECK(distribution.draw(logits, cuts(1e30f), 0.1) == 0);  // all alike
  CHECK(distribution.draw(logits, cuts(1e30f), 0.9) == 2);
}

TEST_CASE("logits that are not finite are refused") {
  TokenDistribution distribution;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::vector<float>& logits :
       std::vector<std::vector<float>>{{nan, nan}, {1, nan, 2}, {kInf, 1}, {-kInf, -kInf}}) {
    for (const SamplingParams& params : {cuts(1), cuts(1, 1), cuts(1, 0, 0.5f)}) {
      CHECK_THROWS_AS(distribution.draw(logits, params, 0.5), std::runtime_error);
    }
  }
}

}  // namespace saccade
