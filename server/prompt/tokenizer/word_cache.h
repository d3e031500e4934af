#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/core/types.h"

namespace saccade {

// Remembers the ids of short words: a fixed number of slots, a new word displaces the old one of
// its slot. Many threads may use it; one that finds a slot in use goes without it.
class WordCache {
 public:
  explicit WordCache(size_t slots = 1 << 13);  // power of two; about 1 MiB

  // Appends the ids of `word` and returns true, or returns false.
  bool find(std::string_view word, uint64_t hash, std::vector<TokenId>& out);
  // Stores ids[first..] for `word` if both are short enough.
  void store(std::string_view word, uint64_t hash, const std::vector<TokenId>& ids, size_t first);

 private:
  static constexpr size_t kMaxBytes = 48;
  static constexpr size_t kMaxIds = 16;
  struct Slot {
    std::atomic_flag busy = ATOMIC_FLAG_INIT;
    uint8_t bytes = 0, ids = 0;
    char word[kMaxBytes];
    TokenId id[kMaxIds];
  };
  std::unique_ptr<Slot[]> slots_;
  size_t mask_;
};

}  // namespace saccade
