#pragma once

#include <algorithm>

#include "engine/core/types.h"

namespace saccade {

// Seconds of the fastest of several runs, which take `enough` seconds together. The first touches
// the memory and starts the threads; it counts only where it is slow already.
template <class Work>
double best_seconds(const Work& work, double enough = 0.5) {
  constexpr int kRounds = 9;
  const auto begin = Clock::now();
  double best = 1e9;
  for (int i = 0; i < kRounds && (i < 2 || seconds_since(begin) < enough); ++i) {
    const auto start = Clock::now();
    work();
    best = std::min(best, seconds_since(start));
    if (best > enough) break;
  }
  return best;
}

}  // namespace saccade
