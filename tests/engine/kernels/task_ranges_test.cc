#include "engine/kernels/cpu/task_ranges.h"

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <thread>
#include <vector>

namespace saccade::kernels {
namespace {

// How often each task was taken while `threads` threads took them as fast as they could.
std::vector<int> taken(int64_t count, int threads) {
  TaskRanges ranges(count, threads);
  std::vector<std::atomic<int>> times(static_cast<size_t>(count));
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      for (int64_t task; (task = ranges.next(t)) >= 0;) ++times.at(static_cast<size_t>(task));
    });
  }
  for (std::thread& worker : workers) worker.join();
  return {times.begin(), times.end()};
}

TEST_CASE("TaskRanges: every task is taken once, whoever is fast") {
  for (const int threads : {1, 2, 3, 8}) {
    for (const int64_t count : {0, 1, 2, 7, 100, 20000}) {
      INFO(count << " tasks, " << threads << " threads");
      CHECK(taken(count, threads) == std::vector<int>(static_cast<size_t>(count), 1));
    }
  }
}

TEST_CASE("TaskRanges: a thread reads its own part in order, then others' from behind") {
  TaskRanges ranges(6, 2);
  std::vector<int64_t> order;
  for (int64_t task; (task = ranges.next(0)) >= 0;) order.push_back(task);
  CHECK(order == std::vector<int64_t>{0, 1, 2, 5, 4, 3});
  CHECK(ranges.next(1) == -1);
}

}  // namespace
}  // namespace saccade::kernels
