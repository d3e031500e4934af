// Facts about the process that are lost silently when the link line changes.

#include <ATen/Parallel.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "engine/runtime/load_model.h"
#include "tests/engine/catch.h"

namespace saccade {
namespace {

size_t threads_of_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

}  // namespace

TEST_CASE("one libgomp is mapped") {
  at::parallel_for(0, 100000, 1, [](int64_t, int64_t) {});
  std::ifstream maps("/proc/self/maps");
  std::set<std::string> libraries;
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (path != std::string::npos && line.find("libgomp") != std::string::npos) {
      libraries.insert(line.substr(path));
    }
  }
  CHECK(libraries.size() == 1);
}

TEST_CASE("at::parallel_for uses every thread it is given") {
  at::set_num_threads(2);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  at::parallel_for(0, 2, 1, [&](int64_t, int64_t) {
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  CHECK(ids.size() == 2);
}

// With two teams on the same cores libgomp lets all of them sleep between two kernels, which costs
// a server half of its speed.
TEST_CASE("the thread that loads a model keeps no team of its own") {
  std::thread([] {
    const size_t before = threads_of_process();
    ModelOptions options;
    options.device = DeviceKind::kCpu;
    options.num_threads = 2;
    options.kv_cache_bytes = 1 << 20;
    const LoadedModel model = load_model("tests/golden/llama_gqa", options);
    for (int i = 0; i < 200 && threads_of_process() > before; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));  // threads take a while to end
    }
    CHECK(threads_of_process() == before);
  }).join();
}

}  // namespace saccade
