#include "engine/kernels/cpu/isa_functions.h"
#include "engine/kernels/cpu/simd.h"

namespace saccade::kernels::SACCADE_ISA {
namespace {

constexpr float kInfinity = __builtin_inff();

// The lanes of `v` from `part` on hold `value`.
static inline Vec fill_behind(Vec v, int part, float value) {
  for (int j = part; j < kLanes; ++j) v[j] = value;
  return v;
}

// Calls visit(block, start, end) for each block of weights.
template <class Visit>
static inline void for_each_block(const TokenWeights& tokens, const Visit& visit) {
  for (int64_t start = 0; start < tokens.n; start += kWeightBlock) {
    visit(start / kWeightBlock, start, min_of(start + kWeightBlock, tokens.n));
  }
}

}  // namespace

float max_value(const float* values, int64_t n) {
  Vec best = splat(-kInfinity);
  for (int64_t i = 0; i < n; i += kLanes) {
    const int part = static_cast<int>(min_of<int64_t>(kLanes, n - i));
    best = vmax(fill_behind(load_part(values + i, part), part, -kInfinity), best);
  }
  return reduce_max(best);
}

float log_sum_exp(const float* logits, int64_t n) {
  const float top = max_value(logits, n);
  if (top == -kInfinity || top == kInfinity) return top;
  Vec sums = splat(0);
  for (int64_t i = 0; i < n; i += kLanes) {
    const int part = static_cast<int>(min_of<int64_t>(kLanes, n - i));
    sums += fill_behind(vexp(load_part(logits + i, part) - top), part, 0);
  }
  return top + __builtin_logf(reduce_add(sums));
}

void softmax_weights(const float* logits, float scale, float least, const TokenWeights& to) {
  const float top = max_value(logits, to.n);
  for_each_block(to, [&](int64_t block, int64_t start, int64_t end) {
    Vec sums = splat(0);
    Vec best = splat(0);
    for (int64_t i = start; i < end; i += kLanes) {
      const int part = static_cast<int>(min_of<int64_t>(kLanes, end - i));
      Vec weight = vexp((load_part(logits + i, part) - top) * scale);
      weight = fill_behind(weight < least ? splat(0) : weight, part, 0);
      store_part(to.weights + i, weight, part);
      sums += weight;
      best = vmax(weight, best);
    }
    to.sums[block] = reduce_add(sums);
    to.maxima[block] = reduce_max(best);
  });
}

WeightMass mass_at_least(const TokenWeights& tokens, float bound) {
  WeightMass mass{0, 0};
  for_each_block(tokens, [&](int64_t block, int64_t start, int64_t end) {
    if (tokens.maxima[block] < bound) return;
    Vec sums = splat(0);
    IVec counts = splat_int(0);
    for (int64_t i = start; i < end; i += kLanes) {
      const int part = static_cast<int>(min_of<int64_t>(kLanes, end - i));
      const Vec weight = load_part(tokens.weights + i, part);
      sums += weight < bound ? splat(0) : weight;
      counts += weight < bound ? splat_int(0) : splat_int(1);
    }
    mass.sum += reduce_add(sums);
    for (int j = 0; j < kLanes; ++j) mass.count += counts[j];
  });
  return mass;
}

void drop_below(const TokenWeights& tokens, float bound) {
  for_each_block(tokens, [&](int64_t block, int64_t start, int64_t end) {
    Vec sums = splat(0);
    Vec best = splat(0);
    for (int64_t i = start; i < end; i += kLanes) {
      const int part = static_cast<int>(min_of<int64_t>(kLanes, end - i));
      Vec weight = load_part(tokens.weights + i, part);
      weight = weight < bound ? splat(0) : weight;
      store_part(tokens.weights + i, weight, part);
      sums += weight;
      best = vmax(weight, best);
    }
    tokens.sums[block] = reduce_add(sums);
    tokens.maxima[block] = reduce_max(best);
  });
}

}  // namespace saccade::kernels::SACCADE_ISA
