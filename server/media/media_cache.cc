#include "server/media/media_cache.h"

#include <utility>

namespace saccade {
namespace {

int64_t bytes_of(const MediaItem& item) {
  return static_cast<int64_t>(item.pixels.size() * sizeof(float));
}

}  // namespace

std::shared_ptr<const MediaItem> MediaCache::find(const ContentHash& hash) {
  const std::lock_guard lock(mutex_);
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end()) return nullptr;
  items_.splice(items_.begin(), items_, found->second);
  return *found->second;
}

void MediaCache::keep(std::shared_ptr<const MediaItem> item) {
  const int64_t bytes = bytes_of(*item);
  const std::lock_guard lock(mutex_);
  if (bytes > max_bytes_ || by_hash_.contains(item->hash)) return;
  while (used_ + bytes > max_bytes_ || items_.size() == kMostPictures) {
    used_ -= bytes_of(*items_.back());
    by_hash_.erase(items_.back()->hash);
    items_.pop_back();
  }
  used_ += bytes;
  items_.push_front(std::move(item));
  by_hash_[items_.front()->hash] = items_.begin();
}

}  // namespace saccade
