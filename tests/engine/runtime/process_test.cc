// Facts about the process that are lost silently when the link line changes.

#include <ATen/Parallel.h>

#include <atomic>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "tests/engine/catch.h"

namespace saccade {

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

}  // namespace saccade
