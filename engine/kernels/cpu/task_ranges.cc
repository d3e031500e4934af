#include "engine/kernels/cpu/task_ranges.h"

#include "engine/kernels/cpu/kernel_table.h"

namespace saccade::kernels {
namespace {

constexpr uint64_t pack(uint64_t begin, uint64_t end) { return end << 32 | begin; }

// Takes one task from the front or the back; -1: none left.
int64_t take(uint64_t& bounds, bool front) {
  uint64_t seen = __atomic_load_n(&bounds, __ATOMIC_RELAXED);
  for (;;) {
    const uint64_t begin = seen & 0xffffffff, end = seen >> 32;
    if (begin >= end) return -1;
    const uint64_t left = front ? pack(begin + 1, end) : pack(begin, end - 1);
    // Relaxed: what a task reads was written before the region began, what it writes is read after
    // the region's end.
    if (__atomic_compare_exchange_n(&bounds, &seen, left, true, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
      return static_cast<int64_t>(front ? begin : end - 1);
    }
  }
}

}  // namespace

TaskRanges::TaskRanges(int64_t count, int threads)
    : threads_(threads),
      ranges_(static_cast<Range*>(thread_scratch(ScratchSlot::kRanges, threads * sizeof(Range)))) {
  for (int64_t t = 0; t < threads; ++t) {
    ranges_[t].bounds = pack(count * t / threads, count * (t + 1) / threads);
  }
}

int64_t TaskRanges::next(int thread) {
  int64_t task = take(ranges_[thread].bounds, true);
  for (int i = 1; task < 0 && i < threads_; ++i) {
    task = take(ranges_[(thread + i) % threads_].bounds, false);
  }
  return task;
}

}  // namespace saccade::kernels
