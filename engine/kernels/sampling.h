#pragma once

#include <cstdint>

namespace saccade::kernels {

// The largest value, NaNs left out; -inf for none.
float max_value(const float* values, int64_t n);

// log(sum(exp(logits))), computed around the maximum; n >= 1. -inf entries count as zero.
float log_sum_exp(const float* logits, int64_t n);

// The weights of a vocabulary's tokens, with what is needed to pass over most of them: the sum and
// the largest of each block of kWeightBlock.
inline constexpr int64_t kWeightBlock = 256;
struct TokenWeights {
  float* weights;  // [n]
  int64_t n;
  float* sums;    // [ceil(n / kWeightBlock)]
  float* maxima;  // [ceil(n / kWeightBlock)]
};

// weights[i] = exp((logits[i] - top) * scale), top the largest logit, so that its weight is 1;
// what is less than `least` becomes 0. NaN where a logit is NaN, and everywhere where the largest
// one is infinite. logits [to.n].
void softmax_weights(const float* logits, float scale, float least, const TokenWeights& to);

// How many tokens weigh at least `bound` > 0, and how much together.
struct WeightMass {
  int64_t count;
  double sum;
};
WeightMass mass_at_least(const TokenWeights& tokens, float bound);

// Weights below `bound` > 0 become 0.
void drop_below(const TokenWeights& tokens, float bound);

// Index of the largest value, the first of equals; n >= 1. NaNs are never chosen before numbers.
int64_t argmax(const float* values, int64_t n);

// The k largest, best first, the lower index first among equals; k is cut to n. NaNs are skipped.
// Returns how many were written to indices and values.
int top_k(const float* values, int64_t n, int k, int64_t* indices, float* top_values);

}  // namespace saccade::kernels
