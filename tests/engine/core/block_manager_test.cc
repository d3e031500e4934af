#include "engine/core/block_manager.h"

#include <catch2/catch_test_macros.hpp>
#include <set>

namespace saccade {
namespace {

ContentHash name(uint8_t value) {
  ContentHash hash;
  hash.bytes[0] = value;
  return hash;
}

TEST_CASE("blocks are handed out once until they are released") {
  BlockManager blocks(3);
  std::set<int> taken;
  for (int i = 0; i < 3; ++i) taken.insert(blocks.allocate().value());
  CHECK(taken == std::set<int>{0, 1, 2});
  CHECK_FALSE(blocks.allocate());
  CHECK(blocks.num_free() == 0);
  blocks.release(1);
  CHECK(blocks.num_used() == 2);
  CHECK(blocks.allocate() == 1);
  blocks.check();
}

TEST_CASE("a shared block is free when its last holder lets go") {
  BlockManager blocks(2);
  const int block = blocks.allocate().value();
  blocks.share(block);
  blocks.release(block);
  CHECK(blocks.num_free() == 1);
  blocks.release(block);
  CHECK(blocks.num_free() == 2);
  blocks.check();
}

TEST_CASE("a published block is found while used and while free") {
  BlockManager blocks(2);
  const int block = blocks.allocate().value();
  CHECK_FALSE(blocks.find(name(1)));
  blocks.publish(block, name(1));
  CHECK(blocks.find(name(1)) == block);
  CHECK_FALSE(blocks.find(name(2)));
  blocks.release(block);
  CHECK(blocks.find(name(1)) == block);
  CHECK(blocks.num_free() == 2);
  CHECK(blocks.num_cached() == 1);
  blocks.share(block);  // back to life
  CHECK(blocks.num_free() == 1);
  blocks.check();
}

TEST_CASE("of two blocks with the same content the first keeps the name") {
  BlockManager blocks(2);
  const int first = blocks.allocate().value();
  const int second = blocks.allocate().value();
  blocks.publish(first, name(1));
  blocks.publish(second, name(1));
  CHECK(blocks.find(name(1)) == first);
  blocks.release(first);
  blocks.release(second);
  blocks.check();
  CHECK(blocks.allocate() == second);  // holds nothing anybody can find
  CHECK(blocks.find(name(1)) == first);
}

TEST_CASE("blocks without content are reused first, then the least recently used") {
  BlockManager blocks(4);
  for (int i = 0; i < 4; ++i) blocks.allocate();
  for (int i = 0; i < 3; ++i) blocks.publish(i, name(static_cast<uint8_t>(i)));
  blocks.release(1);
  blocks.release(0);
  blocks.release(3);  // unpublished
  blocks.release(2);
  blocks.share(1);  // used again: now the most recent
  blocks.release(1);
  const int expected[] = {3, 0, 2, 1};
  for (const int block : expected) {
    CHECK(blocks.allocate() == block);
    blocks.check();
  }
  CHECK(blocks.num_cached() == 0);
  for (uint8_t i = 0; i < 3; ++i) CHECK_FALSE(blocks.find(name(i)));
}

TEST_CASE("a table is released from its end, so that a prefix outlives its tail") {
  BlockManager blocks(3);
  std::vector<int> table;
  for (uint8_t i = 0; i < 3; ++i) {
    table.push_back(blocks.allocate().value());
    blocks.publish(table.back(), name(i));
  }
  blocks.release_all(table);
  CHECK(blocks.allocate() == table[2]);
  CHECK(blocks.find(name(0)) == table[0]);
  CHECK(blocks.find(name(1)) == table[1]);
  blocks.check();
}

TEST_CASE("the books notice a block released too often") {
  BlockManager blocks(2);
  const int block = blocks.allocate().value();
  blocks.release(block);
  blocks.release(block);
  CHECK_THROWS(blocks.check());
}

}  // namespace
}  // namespace saccade
