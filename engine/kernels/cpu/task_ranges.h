#pragma once

#include <cstdint>

namespace saccade::kernels {

// Tasks 0 to count - 1 for the threads of a parallel region. Each owns as many in a row and takes
// them from the front, so that it reads its part of a weight in order; one that has none left takes
// from the back of another's. A thread that the machine holds up does not hold up the others.
class TaskRanges {
 public:
  // Memory of the calling thread, used until its next TaskRanges; `count` below 2^32.
  TaskRanges(int64_t count, int threads);

  // The next task of thread `thread` of the region, -1 when there is none. For all threads at once.
  int64_t next(int thread);

 private:
  // Of one thread: the first task in the low half, the end in the high one.
  struct alignas(64) Range {
    uint64_t bounds;
  };

  int threads_;
  Range* ranges_;
};

}  // namespace saccade::kernels
