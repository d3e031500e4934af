#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace saccade {

// Durations by bucket. Monotone, so a reader that takes snapshots loses nothing: what happened
// between two snapshots is their difference.
class DurationHistogram {
 public:
  // Upper bounds in seconds; the last bucket has none.
  static constexpr std::array<double, 17> kBounds = {1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 2.5e-3,
                                                     5e-3, 0.01, 0.02, 0.04, 0.08, 0.16,
                                                     0.32, 0.64, 1.28, 2.56, 10.0};

  void observe(double seconds) {
    const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
    ++counts_[bucket - kBounds.begin()];
    ++count_;
    sum_ += seconds;
  }

  const std::array<uint64_t, kBounds.size() + 1>& counts() const { return counts_; }  // per bucket
  uint64_t count() const { return count_; }
  double sum() const { return sum_; }  // seconds

 private:
  std::array<uint64_t, kBounds.size() + 1> counts_{};
  uint64_t count_ = 0;
  double sum_ = 0;
};

// What the engine tells about itself: gauges as of the last step, counters since the start.
struct EngineStats {
  // Gauges.
  int waiting = 0;    // accepted and not running: never in a batch yet, or preempted
  int preempted = 0;  // of these, preempted
  int running = 0;
  int kv_blocks_used = 0;
  int kv_blocks_total = 0;
  int encoder_tokens_used = 0;  // visual tokens resident in the encoder cache
  int encoder_tokens_total = 0;

  // Counters.
  uint64_t prefix_queried_tokens = 0;  // prompt tokens of admitted requests
  uint64_t prefix_hit_tokens = 0;      // of these, found in the prefix cache
  uint64_t encoder_hits = 0;           // encoder outputs found resident when needed
  uint64_t encoder_misses = 0;         // encoder outputs made
  uint64_t tower_hits = 0;             // of these, with a tower output that was there
  uint64_t preemptions = 0;
  uint64_t prompt_tokens = 0;     // of admitted requests
  uint64_t generated_tokens = 0;  // published
  uint64_t draft_tokens = 0;      // guesses that were computed
  uint64_t accepted_drafts = 0;   // of these, right
  uint64_t steps = 0;
  uint64_t batched_tokens = 0;  // positions computed, over all steps
  uint64_t failed_steps = 0;    // execute() threw
  uint64_t ended_stop = 0;      // requests ended, by reason
  uint64_t ended_length = 0;
  uint64_t ended_cancelled = 0;
  uint64_t ended_error = 0;
  uint64_t ended() const { return ended_stop + ended_length + ended_cancelled + ended_error; }

  // Durations.
  DurationHistogram step;     // plan + execute + commit
  DurationHistogram execute;  // the executor alone
  DurationHistogram host;     // step - execute: queue, plan, commit
  DurationHistogram encode;   // vision encoder and connector, per item
};

}  // namespace saccade
