#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "engine/core/media.h"

namespace saccade {

// Pictures as the encoder takes them, those that were asked for last: a chat sends its pictures
// with every turn. For all threads at once.
class MediaCache {
 public:
  // A chat sends its pictures again soon. More of them would make memory grow for long where they
  // are small.
  static constexpr size_t kMostPictures = 64;

  // Room for `max_bytes` of pixels; 0: keeps nothing.
  explicit MediaCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // The item of that hash, nullptr where there is none.
  std::shared_ptr<const MediaItem> find(const ContentHash& hash);

  // Keeps an item under its hash, in place of those not asked for the longest; not one that is
  // larger than the whole.
  void keep(std::shared_ptr<const MediaItem> item);

 private:
  using Items = std::list<std::shared_ptr<const MediaItem>>;

  const int64_t max_bytes_;
  std::mutex mutex_;
  int64_t used_ = 0;
  Items items_;  // the one asked for last first
  std::unordered_map<ContentHash, Items::iterator> by_hash_;
};

}  // namespace saccade
