#include "engine/core/encoder_cache_index.h"

#include <catch2/catch_test_macros.hpp>

namespace saccade {
namespace {

ContentHash key(uint8_t value) {
  ContentHash hash;
  hash.bytes[0] = value;
  return hash;
}

TEST_CASE("an output is resident from reserve() until its room is needed") {
  EncoderCacheIndex cache(10);
  std::vector<ContentHash> evicted;
  CHECK_FALSE(cache.acquire(key(1)));
  CHECK(cache.reserve(key(1), 6, &evicted));
  CHECK(cache.contains(key(1)));
  CHECK(cache.used() == 6);
  cache.release(key(1));
  CHECK(cache.contains(key(1)));
  CHECK(cache.acquire(key(1)));
  cache.release(key(1));
  CHECK(cache.reserve(key(2), 5, &evicted));
  CHECK(evicted == std::vector{key(1)});
  CHECK_FALSE(cache.contains(key(1)));
  CHECK(cache.used() == 5);
}

TEST_CASE("held outputs are never evicted") {
  EncoderCacheIndex cache(10);
  std::vector<ContentHash> evicted;
  CHECK(cache.reserve(key(1), 6, &evicted));
  CHECK(cache.acquire(key(1)));
  cache.release(key(1));  // one of two references
  CHECK_FALSE(cache.reserve(key(2), 5, &evicted));
  CHECK(evicted.empty());
  CHECK(cache.contains(key(1)));
  CHECK(cache.used() == 6);
  CHECK(cache.reserve(key(3), 4, &evicted));
  CHECK(cache.references() == 2);
}

TEST_CASE("a reservation that cannot succeed evicts nothing") {
  EncoderCacheIndex cache(10);
  std::vector<ContentHash> evicted;
  CHECK(cache.reserve(key(1), 4, &evicted));
  CHECK(cache.reserve(key(2), 4, &evicted));
  cache.release(key(2));
  CHECK_FALSE(cache.reserve(key(3), 7, &evicted));  // 4 held
  CHECK_FALSE(cache.reserve(key(3), 11, &evicted));
  CHECK(evicted.empty());
  CHECK(cache.contains(key(2)));
}

TEST_CASE("the least recently used outputs go first, as many as needed") {
  EncoderCacheIndex cache(9);
  std::vector<ContentHash> evicted;
  for (uint8_t i = 1; i <= 3; ++i) CHECK(cache.reserve(key(i), 3, &evicted));
  for (const uint8_t i : {2, 1, 3}) cache.release(key(i));
  CHECK(cache.acquire(key(2)));
  cache.release(key(2));  // order is now 1, 3, 2
  CHECK(cache.reserve(key(4), 5, &evicted));
  CHECK(evicted == std::vector{key(1), key(3)});
  CHECK(cache.used() == 8);
}

TEST_CASE("a forgotten output gives its room back") {
  EncoderCacheIndex cache(4);
  std::vector<ContentHash> evicted;
  CHECK(cache.reserve(key(1), 4, &evicted));
  cache.release(key(1));
  cache.forget(key(1));
  cache.forget(key(1));  // unknown: nothing happens
  CHECK(cache.used() == 0);
  CHECK(cache.reserve(key(2), 4, &evicted));
  CHECK(evicted.empty());
}

}  // namespace
}  // namespace saccade
