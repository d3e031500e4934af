#include "engine/core/block_manager.h"

#include <stdexcept>
#include <string>

namespace saccade {

BlockManager::BlockManager(int num_blocks) : blocks_(num_blocks) {
  by_hash_.reserve(num_blocks);
  for (int i = 0; i < num_blocks; ++i) push_free(i, /*at_front=*/false);
}

std::optional<int> BlockManager::allocate() {
  if (free_head_ < 0) return std::nullopt;
  const int block = free_head_;
  unlink(block);
  Block& taken = blocks_[block];
  if (taken.published) {
    by_hash_.erase(taken.hash);
    taken.published = false;
  }
  taken.references = 1;
  return block;
}

std::optional<int> BlockManager::find(const ContentHash& hash) const {
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end()) return std::nullopt;
  return found->second;
}

void BlockManager::share(int block) {
  if (blocks_[block].references++ == 0) unlink(block);
}

void BlockManager::release(int block) {
  Block& released = blocks_[block];
  if (--released.references == 0) push_free(block, /*at_front=*/!released.published);
}

void BlockManager::release_all(std::span<const int> table) {
  for (size_t i = table.size(); i-- > 0;) release(table[i]);
}

void BlockManager::publish(int block, const ContentHash& hash) {
  Block& target = blocks_[block];
  if (target.published || !by_hash_.try_emplace(hash, block).second) return;
  target.published = true;
  target.hash = hash;
}

void BlockManager::push_free(int block, bool at_front) {
  Block& added = blocks_[block];
  added.previous = at_front ? -1 : free_tail_;
  added.next = at_front ? free_head_ : -1;
  (added.previous < 0 ? free_head_ : blocks_[added.previous].next) = block;
  (added.next < 0 ? free_tail_ : blocks_[added.next].previous) = block;
  ++num_free_;
}

void BlockManager::unlink(int block) {
  const Block& removed = blocks_[block];
  (removed.previous < 0 ? free_head_ : blocks_[removed.previous].next) = removed.next;
  (removed.next < 0 ? free_tail_ : blocks_[removed.next].previous) = removed.previous;
  --num_free_;
}

void BlockManager::check() const {
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw std::logic_error(std::string("block manager: ") + what);
  };
  std::vector<bool> listed(blocks_.size());
  int count = 0;
  for (int i = free_head_, previous = -1; i >= 0; previous = i, i = blocks_[i].next) {
    require(!listed[i], "a block is twice in the free list");
    require(blocks_[i].previous == previous, "the free list is torn");
    listed[i] = true;
    ++count;
  }
  require(count == num_free_, "the number of free blocks is wrong");
  size_t published = 0;
  for (int i = 0; i < num_blocks(); ++i) {
    require(blocks_[i].references >= 0, "a block was released too often");
    require(listed[i] == (blocks_[i].references == 0), "a block is lost or free while used");
    if (!blocks_[i].published) continue;
    ++published;
    require(find(blocks_[i].hash) == i, "a published block is not found by its name");
  }
  require(published == by_hash_.size(), "a name points to a block without it");
}

}  // namespace saccade
