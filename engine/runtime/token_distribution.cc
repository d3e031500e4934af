#include "engine/runtime/token_distribution.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace saccade {
namespace {

using kernels::kWeightBlock;
using kernels::TokenWeights;
using kernels::WeightMass;

// Keeps (logit - top) / temperature a number for every temperature, 0 for the largest logit.
constexpr float kSteepest = 1e30f;
constexpr float kLeastWeight = std::numeric_limits<float>::min();

// The largest weight such that enough(mass of all tokens that weigh as much or more); 0 when all
// tokens together are not enough. Positive floats are ordered as their bits are.
template <class Enough>
float last_kept_weight(const TokenWeights& tokens, const Enough& enough) {
  uint32_t low = std::bit_cast<uint32_t>(kLeastWeight);
  uint32_t high = std::bit_cast<uint32_t>(1.0f) + 1;  // of nothing
  if (!enough(kernels::mass_at_least(tokens, kLeastWeight))) return 0;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    const bool kept = enough(kernels::mass_at_least(tokens, std::bit_cast<float>(middle)));
    (kept ? low : high) = middle;
  }
  return std::bit_cast<float>(low);
}

}  // namespace

TokenWeights TokenDistribution::tokens() {
  return {weights_.data(), static_cast<int64_t>(weights_.size()), sums_.data(), maxima_.data()};
}

void TokenDistribution::weigh(std::span<const float> logits, const SamplingParams& params) {
  const size_t blocks = (logits.size() + kWeightBlock - 1) / kWeightBlock;
  weights_.resize(logits.size());
  sums_.resize(blocks);
  maxima_.resize(blocks);
  const float scale = std::min(1.0f / params.temperature, kSteepest);
  kernels::softmax_weights(logits.data(), scale, params.min_p, tokens());
}

double TokenDistribution::total() const { return std::accumulate(sums_.begin(), sums_.end(), 0.0); }

// The best `count` tokens stay, of which the last weigh `weight`.
void TokenDistribution::keep_from(float weight, int64_t count) {
  kernels::drop_below(tokens(), weight);
  int64_t surplus = kernels::mass_at_least(tokens(), weight).count - count;
  for (size_t block = maxima_.size(); block-- > 0 && surplus > 0;) {
    if (maxima_[block] < weight) continue;
    const size_t start = block * kWeightBlock;
    const size_t end = std::min(start + kWeightBlock, weights_.size());
    for (size_t id = end; id-- > start && surplus > 0;) {
      if (weights_[id] != weight) continue;
      weights_[id] = 0;
      --surplus;
    }
    const auto length = static_cast<int64_t>(end - start);
    kernels::drop_below({&weights_[start], length, &sums_[block], &maxima_[block]}, weight);
  }
}

// top_k; ties go to the smaller ids.
void TokenDistribution::keep_best(int count) {
  const float last =
      last_kept_weight(tokens(), [count](const WeightMass& mass) { return mass.count >= count; });
  if (last > 0) keep_from(last, count);
}

// top_p: the fewest best tokens that hold `share` of the weight; ties go to the smaller ids.
void TokenDistribution::keep_mass(float share) {
  const double wanted = share * total();
  const float last =
      last_kept_weight(tokens(), [wanted](const WeightMass& mass) { return mass.sum >= wanted; });
  if (last == 0) return;
  const WeightMass heavier = kernels::mass_at_least(tokens(), std::nextafter(last, 2.0f));
  const double missing = wanted - heavier.sum;
  keep_from(last, heavier.count + std::max<int64_t>(1, std::llround(std::ceil(missing / last))));
}

TokenId TokenDistribution::draw(std::span<const float> logits, const SamplingParams& params,
                                double place) {
  weigh(logits, params);
  if (!std::isfinite(total())) throw std::runtime_error(kNotFinite);
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < weights_.size()) {
    keep_best(params.top_k);
  }
  if (params.top_p < 1.0f) keep_mass(params.top_p);

  const double target = place * total();
  size_t block = 0;
  double start = 0, end = 0;  // of the block in the running sum
  for (size_t b = 0; b < sums_.size() && end <= target; ++b) {
    if (sums_[b] == 0) continue;
    block = b;
    start = end;
    end += sums_[b];
  }
  double rest = target - start;
  const size_t first = block * kWeightBlock;
  size_t token = first;  // the last that weighs anything, should rounding leave a rest behind it
  for (size_t id = first; id < std::min(first + kWeightBlock, weights_.size()) && rest >= 0; ++id) {
    if (weights_[id] == 0) continue;
    token = id;
    rest -= weights_[id];
  }
  return static_cast<TokenId>(token);
}

}  // namespace saccade
