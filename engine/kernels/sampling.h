#pragma once

#include <cstdint>

namespace saccade::kernels {

// log(sum(exp(logits))), computed around the maximum; n >= 1. -inf entries count as zero.
float log_sum_exp(const float* logits, int64_t n);

// Index of the largest value, the first of equals; n >= 1. NaNs are never chosen before numbers.
int64_t argmax(const float* values, int64_t n);

// The k largest, best first, the lower index first among equals; k is cut to n. NaNs are skipped.
// Returns how many were written to indices and values.
int top_k(const float* values, int64_t n, int k, int64_t* indices, float* top_values);

}  // namespace saccade::kernels
