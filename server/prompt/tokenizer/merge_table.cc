#include "server/prompt/tokenizer/merge_table.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <functional>

namespace saccade {
namespace {

constexpr size_t kShort = 32;  // symbols; above it the heap wins

// Scans for the best pair again and again; arrays on the stack.
void merge_short(const MergeTable& table, std::vector<TokenId>& symbols) {
  size_t count = symbols.size();
  MergeTable::Merge merges[kShort];
  TokenId* ids = symbols.data();
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = table.find(ids[i], ids[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == MergeTable::kNone) break;
    ids[best] = merges[best].id;
    std::copy(ids + best + 2, ids + count, ids + best + 1);
    if (best + 2 < count) std::copy(merges + best + 2, merges + count - 1, merges + best + 1);
    --count;
    if (best + 1 < count) merges[best] = table.find(ids[best], ids[best + 1]);
    if (best > 0) merges[best - 1] = table.find(ids[best - 1], ids[best]);
  }
  symbols.resize(count);
}

// A linked list over the symbols and a heap of (rank, position).
class LongMerger {
 public:
  LongMerger(const MergeTable& table, std::vector<TokenId>& symbols)
      : table_(table), ids_(symbols), nodes_(symbols.size()) {}

  void run() {
    const auto count = static_cast<uint32_t>(ids_.size());
    for (uint32_t i = 0; i < count; ++i) nodes_[i] = {i - 1, i + 1, {}};
    nodes_[count - 1].next = kEnd;
    for (uint32_t i = 0; i + 1 < count; ++i) look_up(i, false);
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      const uint64_t top = heap_.back();
      heap_.pop_back();
      const auto at = static_cast<uint32_t>(top);
      if (nodes_[at].merge.rank == top >> 32) merge(at);  // else the entry is out of date
    }
    compact();
  }

 private:
  static constexpr uint32_t kEnd = UINT32_MAX;  // also the node before the first
  struct Node {
    uint32_t previous, next;
    MergeTable::Merge merge;  // of this symbol and the next
  };

  void look_up(uint32_t at, bool into_heap) {
    nodes_[at].merge = nodes_[at].next == kEnd ? MergeTable::Merge{}
                                               : table_.find(ids_[at], ids_[nodes_[at].next]);
    if (nodes_[at].merge.rank == MergeTable::kNone) return;
    heap_.push_back(static_cast<uint64_t>(nodes_[at].merge.rank) << 32 | at);
    if (into_heap) std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  void merge(uint32_t at) {
    Node& node = nodes_[at];
    const uint32_t gone = node.next;
    ids_[at] = node.merge.id;
    node.next = nodes_[gone].next;
    if (node.next != kEnd) nodes_[node.next].previous = at;
    ids_[gone] = -1;
    nodes_[gone].merge = {};
    look_up(at, true);
    if (node.previous != kEnd) look_up(node.previous, true);
  }

  void compact() { std::erase(ids_, -1); }

  const MergeTable& table_;
  std::vector<TokenId>& ids_;
  std::vector<Node> nodes_;
  std::vector<uint64_t> heap_;  // rank << 32 | position, smallest first
};

}  // namespace

void MergeTable::reserve(size_t merges) {
  const size_t slots = std::bit_ceil(std::max<size_t>(16, merges * 2 + 2));
  if (slots <= slots_.size()) return;
  std::vector<Slot> old(slots);
  old.swap(slots_);
  mask_ = slots - 1;
  count_ = 0;
  for (const Slot& slot : old) {
    if (slot.key == kFree) continue;
    set(static_cast<TokenId>(slot.key >> 32), static_cast<TokenId>(slot.key), slot.merge);
  }
}

void MergeTable::set(TokenId left, TokenId right, Merge merge) {
  if ((count_ + 1) * 2 > slots_.size()) reserve(count_ * 2 + 8);
  const uint64_t key = key_of(left, right);
  size_t at = start_of(key);
  while (slots_[at].key != key && slots_[at].key != kFree) at = (at + 1) & mask_;
  if (slots_[at].key == kFree) ++count_;
  slots_[at] = {key, merge};
}

void merge_symbols(const MergeTable& table, std::vector<TokenId>& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kShort) {
    merge_short(table, symbols);
  } else {
    LongMerger(table, symbols).run();
  }
}

}  // namespace saccade
