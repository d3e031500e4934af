#pragma once

#include <omp.h>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/microkernel.h"
#include "engine/kernels/cpu/task_ranges.h"

namespace saccade::kernels::SACCADE_ISA {

// Multiplications below which a parallel region costs more than it brings.
inline constexpr int64_t kParallelLinearWork = 1 << 16;

// Multiplies every panel of the weight with every chunk of rows, on all threads: make_worker()
// gives each thread a function of (panel, row_begin, row_end). Chunks have at most `chunk_rows`
// rows and, but for the last one, a multiple of `row_step`. Neighbouring tasks share a panel, so
// that a thread reads it once.
template <class MakeWorker>
static inline void run_panel_tasks(const LinearArgs& args, int64_t chunk_rows, int64_t row_step,
                                   const MakeWorker& make_worker) {
  const int64_t panels = (args.n + kStrip - 1) / kStrip;
  const int64_t chunks = (args.m + chunk_rows - 1) / chunk_rows;
  const int64_t even = (args.m + chunks - 1) / chunks;
  const int64_t rows = (even + row_step - 1) / row_step * row_step;
  const bool parallel = args.m * args.n * args.k > kParallelLinearWork;
  TaskRanges ranges(panels * chunks, parallel ? omp_get_max_threads() : 1);
#pragma omp parallel if (parallel)
  {
    auto work = make_worker();
    const int thread = omp_get_thread_num();
    for (int64_t task; (task = ranges.next(thread)) >= 0;) {
      const int64_t begin = task % chunks * rows;
      const int64_t end = min_of(args.m, begin + rows);
      if (begin < end) work(task / chunks, begin, end);
    }
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
