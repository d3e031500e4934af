#include "engine/kernels/sampling.h"

#include <algorithm>

namespace saccade::kernels {

int64_t argmax(const float* values, int64_t n) {
  const float best = max_value(values, n);
  const float* found = std::find(values, values + n, best);
  return found == values + n ? 0 : found - values;
}

int top_k(const float* values, int64_t n, int k, int64_t* indices, float* top_values) {
  int count = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float value = values[i];
    if (value != value || k <= 0) continue;
    if (count == k && !(value > top_values[count - 1])) continue;
    int at = count < k ? count++ : k - 1;
    for (; at > 0 && top_values[at - 1] < value; --at) {
      top_values[at] = top_values[at - 1];
      indices[at] = indices[at - 1];
    }
    top_values[at] = value;
    indices[at] = i;
  }
  return count;
}

}  // namespace saccade::kernels
