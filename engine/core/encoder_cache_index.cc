#include "engine/core/encoder_cache_index.h"

namespace saccade {

bool EncoderCacheIndex::acquire(const ContentHash& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return false;
  Entry& entry = found->second;
  if (entry.references++ == 0) {
    unheld_.erase(entry.unheld);
    unheld_tokens_ -= entry.tokens;
  }
  return true;
}

bool EncoderCacheIndex::reserve(const ContentHash& key, int tokens,
                                std::vector<ContentHash>* evicted) {
  const int held = used_ - unheld_tokens_;
  if (tokens > capacity_ - held) return false;
  while (tokens > capacity_ - used_) {
    evicted->push_back(unheld_.front());
    forget(evicted->back());
  }
  entries_.emplace(key, Entry{tokens, 1, {}});
  used_ += tokens;
  return true;
}

void EncoderCacheIndex::release(const ContentHash& key) {
  Entry& entry = entries_.at(key);
  if (--entry.references > 0) return;
  entry.unheld = unheld_.insert(unheld_.end(), key);
  unheld_tokens_ += entry.tokens;
}

void EncoderCacheIndex::forget(const ContentHash& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  used_ -= found->second.tokens;
  unheld_tokens_ -= found->second.tokens;
  unheld_.erase(found->second.unheld);
  entries_.erase(found);
}

int EncoderCacheIndex::references() const {
  int total = 0;
  for (const auto& [key, entry] : entries_) total += entry.references;
  return total;
}

}  // namespace saccade
