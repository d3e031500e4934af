#pragma once

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/microkernel.h"

namespace saccade::kernels::SACCADE_ISA {

// Multiplications below which a parallel region costs more than it brings.
inline constexpr int64_t kParallelLinearWork = 1 << 16;

// Calls visit(panel, row_begin, row_end) for every panel of the weight and every chunk of at most
// `chunk_rows` rows, on all threads. Neighbouring tasks share a panel, so that a thread reads it
// once.
template <class Visit>
static inline void run_panel_tasks(const LinearArgs& args, int64_t chunk_rows, const Visit& visit) {
  const int64_t panels = (args.n + kStrip - 1) / kStrip;
  const int64_t chunks = (args.m + chunk_rows - 1) / chunk_rows;
  const auto run = [&](int64_t task) {
    const int64_t chunk = task % chunks;
    visit(task / chunks, args.m * chunk / chunks, args.m * (chunk + 1) / chunks);
  };
  if (chunks > 1) {
    // What a task takes is known, what else the machine does is not: a thread that was held up gets
    // fewer of them.
#pragma omp parallel for schedule(dynamic, 4)
    for (int64_t task = 0; task < panels * chunks; ++task) run(task);
  } else {
    // Each thread streams one part of the weight from memory.
#pragma omp parallel for schedule(static) if (args.m * args.n * args.k > kParallelLinearWork)
    for (int64_t task = 0; task < panels; ++task) run(task);
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
