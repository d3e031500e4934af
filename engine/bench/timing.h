#pragma once

#include <algorithm>

#include "engine/core/types.h"

namespace saccade {

// Seconds of the fastest of several runs. The first touches the memory and starts the threads; it
// counts only where it is slow already.
template <class Work>
double best_seconds(const Work& work) {
  constexpr int kRounds = 9;
  constexpr double kEnough = 0.5;  // seconds for all rounds
  const auto begin = Clock::now();
  double best = 1e9;
  for (int i = 0; i < kRounds && (i < 2 || seconds_since(begin) < kEnough); ++i) {
    const auto start = Clock::now();
    work();
    best = std::min(best, seconds_since(start));
    if (best > kEnough) break;
  }
  return best;
}

}  // namespace saccade
