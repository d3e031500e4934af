#include "server/media/media_cache.h"

#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/media/sha256.h"

namespace saccade {
namespace {

ContentHash name(int i) { return sha256(std::to_string(i)); }

// An item of that name with `floats` of pixels.
std::shared_ptr<const MediaItem> item(int i, size_t floats) {
  MediaItem made;
  made.pixels.resize(floats);
  made.hash = name(i);
  return std::make_shared<const MediaItem>(std::move(made));
}

}  // namespace

TEST_CASE("a kept picture is found again, the same one") {
  MediaCache cache(400);
  const auto kept = item(1, 50);
  cache.keep(kept);
  CHECK(cache.find(name(1)) == kept);
  CHECK(cache.find(name(2)) == nullptr);
}

TEST_CASE("the pictures not asked for the longest make room") {
  MediaCache cache(400);
  cache.keep(item(1, 40));
  cache.keep(item(2, 40));
  CHECK(cache.find(name(1)) != nullptr);
  cache.keep(item(3, 30));  // 120 bytes, of which 80 are free
  CHECK(cache.find(name(2)) == nullptr);
  CHECK(cache.find(name(1)) != nullptr);
  CHECK(cache.find(name(3)) != nullptr);
  cache.keep(item(4, 100));  // all of it
  CHECK(cache.find(name(1)) == nullptr);
  CHECK(cache.find(name(3)) == nullptr);
  CHECK(cache.find(name(4)) != nullptr);
}

TEST_CASE("a picture larger than the whole is not kept and costs none that is there") {
  MediaCache cache(400);
  cache.keep(item(1, 40));
  cache.keep(item(2, 101));
  CHECK(cache.find(name(2)) == nullptr);
  CHECK(cache.find(name(1)) != nullptr);
  MediaCache none(0);
  none.keep(item(1, 1));
  CHECK(none.find(name(1)) == nullptr);
}

TEST_CASE("small pictures do not fill the whole room") {
  MediaCache cache(1 << 20);
  constexpr int kMost = MediaCache::kMostPictures;
  for (int i = 0; i <= kMost; ++i) cache.keep(item(i, 1));
  CHECK(cache.find(name(0)) == nullptr);
  for (int i = 1; i <= kMost; ++i) CHECK(cache.find(name(i)) != nullptr);
}

TEST_CASE("a picture that two requests decoded at a time takes its room once") {
  MediaCache cache(400);
  for (int i = 0; i < 10; ++i) cache.keep(item(1, 50));
  cache.keep(item(2, 50));
  CHECK(cache.find(name(1)) != nullptr);
  CHECK(cache.find(name(2)) != nullptr);
}

TEST_CASE("threads keep and find at once") {
  MediaCache cache(4000);
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, &wrong, t] {
      for (int i = 0; i < 2000; ++i) {
        const int picture = (i * 7 + t) % 40;
        cache.keep(item(picture, 50));
        const auto found = cache.find(name(picture));
        if (found != nullptr && found->hash != name(picture)) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}

}  // namespace saccade
