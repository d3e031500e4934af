#pragma once

#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/core/types.h"

namespace saccade {

// Owns the numbering of the physical KV blocks: who holds which, and which full blocks can be found
// again by content (the prefix cache). Engine thread only.
//
// A block is *used* (references > 0) or *free*. A free block that was published keeps its content
// and can be found until allocate() needs it; the least recently used goes first, and blocks
// without content go before all of them.
class BlockManager {
 public:
  explicit BlockManager(int num_blocks);

  int num_blocks() const { return static_cast<int>(blocks_.size()); }
  int num_free() const { return num_free_; }
  int num_used() const { return num_blocks() - num_free_; }
  int num_cached() const { return static_cast<int>(by_hash_.size()); }

  // A free block with one reference and no content; nullopt when all are used.
  std::optional<int> allocate();

  // The block that holds the content named by `hash`, if any.
  std::optional<int> find(const ContentHash& hash) const;

  // One more reference on a used or a free, published block.
  void share(int block);

  // One reference less. At none the block is free; published content stays findable.
  void release(int block);

  // Releases a sequence's table. From its end, so that the blocks others are least likely to share
  // are the first to be reused.
  void release_all(std::span<const int> table);

  // The used block is full and computed: it can be found by `hash` from now on. Nothing happens if
  // another block holds the same content already.
  void publish(int block, const ContentHash& hash);

  // Throws std::logic_error when the books do not balance: every block either free and in the list
  // once, or used; every name points to a block that carries it. For tests.
  void check() const;

 private:
  struct Block {
    int references = 0;
    bool published = false;
    ContentHash hash;
    int previous = -1;  // neighbours in the free list
    int next = -1;
  };

  void push_free(int block, bool at_front);
  void unlink(int block);

  std::vector<Block> blocks_;
  std::unordered_map<ContentHash, int> by_hash_;
  int free_head_ = -1;  // next to be reused
  int free_tail_ = -1;
  int num_free_ = 0;
};

}  // namespace saccade
