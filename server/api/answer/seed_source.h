#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <random>

namespace saccade::api {

// Seeds of the answers whose request names none. With a `start` the n-th of them is the same in
// every process, as vLLM's `--seed` has it; without, they are random. Thread-safe.
class SeedSource {
 public:
  explicit SeedSource(std::optional<uint64_t> start);

  uint64_t next();

 private:
  std::mutex mutex_;
  std::mt19937_64 generator_;
};

}  // namespace saccade::api
