#pragma once

#include <cstdint>
#include <vector>

#include "engine/core/types.h"

namespace saccade {

// What BPE does with two neighbouring symbols: (left, right) -> rank and merged symbol.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = kNone;  // lower merges first
    TokenId id = -1;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  MergeTable() : slots_(2) {}
  void reserve(size_t merges);
  // A pair that is there already takes the new rank, as in the reference.
  void set(TokenId left, TokenId right, Merge merge);
  Merge find(TokenId left, TokenId right) const {
    const uint64_t key = key_of(left, right);
    for (size_t at = start_of(key);; at = (at + 1) & mask_) {
      if (slots_[at].key == key) return slots_[at].merge;
      if (slots_[at].key == kFree) return {};
    }
  }

 private:
  // Ids are never negative, so this is no pair.
  static constexpr uint64_t kFree = UINT64_MAX;
  struct Slot {
    uint64_t key = kFree;
    Merge merge;
  };
  static uint64_t key_of(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t start_of(uint64_t key) const {
    return static_cast<size_t>((key * 0x9E3779B97F4A7C15ull) >> 32) & mask_;
  }

  std::vector<Slot> slots_;
  size_t mask_ = 1;
  size_t count_ = 0;
};

// Merges `symbols` until no pair has a merge: always the pair of the lowest rank, the leftmost of
// equals. O(n log n), quadratic only for a few dozen symbols, where that is faster.
void merge_symbols(const MergeTable& table, std::vector<TokenId>& symbols);

}  // namespace saccade
