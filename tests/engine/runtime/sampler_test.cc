#include "engine/runtime/sampler.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>

#include "engine/core/constraint_error.h"

namespace saccade {
namespace {

// Answers of `draws` different lengths, so that each draw has a random number of its own.
std::map<TokenId, int> histogram(const std::vector<float>& logits, SamplingParams params,
                                 int draws) {
  Sampler sampler({});
  std::map<TokenId, int> counts;
  std::vector<TokenId> tokens(1, 0);
  for (int i = 0; i < draws; ++i) {
    ++counts[sampler.sample(logits, tokens, 1, params).token];
    tokens.push_back(0);
  }
  return counts;
}

std::set<TokenId> support(const std::vector<float>& logits, const SamplingParams& params) {
  std::set<TokenId> ids;
  for (const auto& [id, count] : histogram(logits, params, 3000)) ids.insert(id);
  return ids;
}

TokenId greedy(const std::vector<float>& logits, const std::vector<TokenId>& tokens,
               int prompt_length, SamplingParams params) {
  params.temperature = 0;
  return Sampler({7}).sample(logits, tokens, prompt_length, params).token;
}

// Forbids all but one id. The scheduler, not the sampler, tells it what was taken.
class OnlyOne : public TokenConstraint {
 public:
  explicit OnlyOne(TokenId id) : id_(id) {}
  void fill_mask(uint32_t* mask, int vocab_size) override {
    for (int i = 0; i < (vocab_size + 31) / 32; ++i) mask[i] = 0;
    mask[id_ / 32] = 1u << (id_ % 32);
  }
  bool accept(TokenId) override { throw std::logic_error("not the sampler's to call"); }

 private:
  TokenId id_;
};

}  // namespace

TEST_CASE("greedy takes the best id, the first of equals") {
  CHECK(greedy({1, 5, 3, 5}, {0}, 1, {}) == 1);
}

TEST_CASE("frequencies of draws follow the softmax at the temperature") {
  const std::vector<float> logits = {0, 1, 2, -1};
  for (const float temperature : {0.5f, 1.0f, 2.0f}) {
    SamplingParams params;
    params.temperature = temperature;
    params.seed = 17;
    constexpr int kDraws = 20000;
    const auto counts = histogram(logits, params, kDraws);
    double total = 0;
    for (const float x : logits) total += std::exp(x / temperature);
    for (TokenId id = 0; id < 4; ++id) {
      const double p = std::exp(logits[id] / temperature) / total;
      const double seen = counts.contains(id) ? counts.at(id) / double(kDraws) : 0;
      INFO("id " << id << " at " << temperature);
      CHECK(std::abs(seen - p) < 5 * std::sqrt(p * (1 - p) / kDraws) + 1e-4);
    }
  }
}

TEST_CASE("top_k, top_p and min_p cut the tail") {
  const std::vector<float> logits = {4, 3, 2, 1, 0};  // p = .636 .234 .086 .032 .012
  SamplingParams params;
  params.top_k = 2;
  CHECK(support(logits, params) == std::set<TokenId>{0, 1});
  params = {};
  params.top_p = 0.8f;
  CHECK(support(logits, params) == std::set<TokenId>{0, 1});
  params.top_p = 0.9f;
  CHECK(support(logits, params) == std::set<TokenId>{0, 1, 2});
  params.top_p = 1e-6f;
  CHECK(support(logits, params) == std::set<TokenId>{0});
  params = {};
  params.min_p = 0.1f;  // of the best: .0636
  CHECK(support(logits, params) == std::set<TokenId>{0, 1, 2});
  params = {};
  CHECK(support(logits, params).size() == 5);
}

TEST_CASE("the same seed draws the same, another seed another") {
  std::vector<float> logits(50);
  std::iota(logits.begin(), logits.end(), 0.0f);
  for (float& x : logits) x = std::sin(x * 12.9898f);
  const auto run = [&](uint64_t seed) {
    SamplingParams params;
    params.seed = seed;
    Sampler sampler({});
    std::vector<TokenId> tokens = {1, 2, 3};
    for (int i = 0; i < 40; ++i) tokens.push_back(sampler.sample(logits, tokens, 3, params).token);
    return tokens;
  };
  CHECK(run(5) == run(5));
  CHECK(run(5) != run(6));
}

TEST_CASE("penalties") {
  SamplingParams params;
  params.repetition_penalty = 2.0f;  // prompt tokens count: 4 -> 2, -1 -> -2
  CHECK(greedy({4, 3, -1}, {0}, 1, params) == 1);
  CHECK(greedy({-3, -2, -1.5f}, {2}, 1, params) == 1);
  params = {};
  params.presence_penalty = 2.0f;  // the answer alone counts
  CHECK(greedy({4, 3, 0}, {0}, 1, params) == 0);
  CHECK(greedy({4, 3, 0}, {0, 0}, 1, params) == 1);
  params = {};
  params.frequency_penalty = 0.6f;
  CHECK(greedy({4, 3, 0}, {1, 0}, 1, params) == 0);
  CHECK(greedy({4, 3, 0}, {1, 0, 0}, 1, params) == 1);
}

TEST_CASE("logit_bias forces and bans") {
  SamplingParams params;
  params.logit_bias = {{2, 100.0f}};
  CHECK(greedy({4, 3, 0}, {0}, 1, params) == 2);
  params.logit_bias = {{0, -100.0f}};
  CHECK(greedy({4, 3, 0}, {0}, 1, params) == 1);
  CHECK(support({4, 3, 0}, params) == std::set<TokenId>{1, 2});
}

TEST_CASE("min_tokens keeps the end ids away until it is reached") {
  std::vector<float> logits(10, 0.0f);
  logits[7] = 9;  // the model's end id
  logits[3] = 5;  // a stop id
  logits[1] = 2;
  SamplingParams params;
  params.stop_ids = {3};
  params.min_tokens = 2;
  CHECK(greedy(logits, {0}, 1, params) == 1);
  CHECK(greedy(logits, {0, 1}, 1, params) == 1);
  CHECK(greedy(logits, {0, 1, 1}, 1, params) == 7);
}

TEST_CASE("log-probabilities are of the raw logits") {
  SamplingParams params;
  params.temperature = 0;
  params.logprobs = 3;
  params.logit_bias = {{2, 100.0f}};
  const std::vector<float> logits = {1, 2, 0, 2};
  const SampledToken sampled = Sampler({}).sample(logits, std::vector<TokenId>{0}, 1, params);
  const double norm = std::log(std::exp(1.0) + 2 * std::exp(2.0) + 1);
  CHECK(sampled.token == 2);
  CHECK(std::abs(sampled.logprob - (0 - norm)) < 1e-6);
  REQUIRE(sampled.top.size() == 3);
  CHECK(sampled.top[0].token == 1);
  CHECK(sampled.top[1].token == 3);
  CHECK(sampled.top[2].token == 0);
  CHECK(std::abs(sampled.top[0].logprob - (2 - norm)) < 1e-6);
}

TEST_CASE("log-probability of the chosen token alone") {
  SamplingParams params;
  params.temperature = 0;
  params.logprobs = 0;
  const SampledToken sampled =
      Sampler({}).sample(std::vector<float>{0, 0}, std::vector<TokenId>{0}, 1, params);
  CHECK(std::abs(sampled.logprob - std::log(0.5)) < 1e-6);
  CHECK(sampled.top.empty());
}

TEST_CASE("a constraint leaves only what it allows") {
  SamplingParams params;
  params.temperature = 0;
  params.constraint = std::make_shared<OnlyOne>(2);
  CHECK(Sampler({})
            .sample(std::vector<float>{9, 8, 1, 7}, std::vector<TokenId>{0}, 1, params)
            .token == 2);
}

TEST_CASE("only allowed ids are chosen, also beyond the first word of the mask") {
  std::vector<float> logits(70, 1.0f);
  logits[3] = 9;
  logits[64] = 8;
  SamplingParams params;
  auto rules = std::make_shared<TokenRules>();
  rules->allowed = {0, 1u << 1, 1u << 0};  // 33 and 64
  params.rules = rules;
  CHECK(greedy(logits, {0}, 1, params) == 64);
  CHECK(support(logits, params) == std::set<TokenId>{33, 64});
  CHECK_FALSE(Sampler({}).takes_best(std::vector<TokenId>{0}, 1, params));
}

TEST_CASE("a bad word's last id is masked behind the others, in the answer alone") {
  const std::vector<float> logits = {0, 0, 0, 0, 9, 5};
  SamplingParams params;
  auto rules = std::make_shared<TokenRules>();
  rules->bad_words = {{2, 3, 4}, {1}};
  params.rules = rules;
  CHECK(greedy(logits, {0, 2, 3}, 1, params) == 5);
  CHECK(greedy(logits, {0, 2, 3}, 2, params) == 4);  // 2 is the prompt's
  CHECK(greedy(logits, {0, 3}, 1, params) == 4);
  CHECK(greedy(logits, {0, 2, 3, 0}, 1, params) == 4);
  CHECK(greedy({0, 9, 1}, {0}, 1, params) == 2);
}

TEST_CASE("rules that leave no token fail the request") {
  SamplingParams params;
  auto rules = std::make_shared<TokenRules>();
  rules->allowed = {1u << 1};
  rules->bad_words = {{1}};
  params.rules = rules;
  for (const float temperature : {0.0f, 1.0f}) {
    params.temperature = temperature;
    CHECK_THROWS_AS(
        Sampler({}).sample(std::vector<float>{1, 2, 3}, std::vector<TokenId>{0}, 1, params),
        ConstraintError);
  }
}

TEST_CASE("min_tokens gives way where only the end is allowed") {
  SamplingParams params;
  auto rules = std::make_shared<TokenRules>();
  rules->allowed = {1u << 7};
  params.rules = rules;
  params.min_tokens = 3;
  CHECK(greedy({1, 2, 3, 4, 5, 6, 7, 0}, {0}, 1, params) == 7);
}

TEST_CASE("ids of the model's rules beyond the head are passed over") {
  auto rules = std::make_shared<GenerationRules>();
  rules->sequence_bias = {{{9}, 5.0f}, {{0, 1}, 4.0f}};
  rules->bad_words = {{9}, {2}};
  rules->suppressed = {8};
  rules->no_repeat_ngram_size = 1;
  SamplingParams params;
  params.model_rules = rules;
  CHECK(greedy({1, 2, 9, 5}, {9, 0}, 1, params) == 1);
  CHECK_FALSE(Sampler({}).takes_best(std::vector<TokenId>{0}, 1, params));
  rules->suppressed = {1, 3};
  CHECK_THROWS_AS(greedy({1, 2, 9, 5}, {9, 0}, 1, params), ConstraintError);
}

TEST_CASE("logits that are not finite fail the request") {
  SamplingParams params;
  params.temperature = 0;
  const std::vector<float> logits = {NAN, NAN};
  CHECK_THROWS(Sampler({}).sample(logits, std::vector<TokenId>{0}, 1, params));
}

}  // namespace saccade
