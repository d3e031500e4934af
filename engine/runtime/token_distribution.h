#pragma once

#include <span>
#include <vector>

#include "engine/core/request.h"
#include "engine/kernels/sampling.h"

namespace saccade {

// What a request is told whose logits or hidden states are not.
inline constexpr const char* kNotFinite =
    "the model's output is not finite: its weights are damaged, or its numbers too large for the "
    "dtype that it runs in";

// Draws one token from softmax(logits / temperature) after min_p, top_k and top_p have cut it, in
// this order. Nothing is sorted: the weight at which a cut falls is found by bisection, and the
// draw walks the running sum in the order of the ids, so that a last bit that differs in one logit
// moves no other token's place.
class TokenDistribution {
 public:
  // logits [vocab] float32; params.temperature > 0; `place` in [0, 1) is the place of the answer in
  // the running sum. Throws std::runtime_error when the logits are not finite.
  TokenId draw(std::span<const float> logits, const SamplingParams& params, double place);

 private:
  void weigh(std::span<const float> logits, const SamplingParams& params);
  void keep_best(int count);
  void keep_mass(float share);
  void keep_from(float weight, int64_t count);
  kernels::TokenWeights tokens();
  double total() const;

  // Scratch, reused from call to call; kernels::TokenWeights says what is in it.
  std::vector<float> weights_;
  std::vector<float> sums_;
  std::vector<float> maxima_;
};

}  // namespace saccade
