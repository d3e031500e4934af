#include "server/prompt/tokenizer/word_cache.h"

#include <algorithm>
#include <cstring>

namespace saccade {

WordCache::WordCache(size_t slots) : slots_(std::make_unique<Slot[]>(slots)), mask_(slots - 1) {}

bool WordCache::find(std::string_view word, uint64_t hash, std::vector<TokenId>& out) {
  if (word.size() > kMaxBytes) return false;
  Slot& slot = slots_[(hash >> 20) & mask_];
  if (slot.busy.test_and_set(std::memory_order_acquire)) return false;
  const bool hit =
      slot.bytes == word.size() && std::memcmp(slot.word, word.data(), word.size()) == 0;
  if (hit) out.insert(out.end(), slot.id, slot.id + slot.ids);
  slot.busy.clear(std::memory_order_release);
  return hit;
}

void WordCache::store(std::string_view word, uint64_t hash, const std::vector<TokenId>& ids,
                      size_t first) {
  if (word.empty() || word.size() > kMaxBytes || ids.size() - first > kMaxIds) return;
  Slot& slot = slots_[(hash >> 20) & mask_];
  if (slot.busy.test_and_set(std::memory_order_acquire)) return;
  std::memcpy(slot.word, word.data(), word.size());
  std::copy(ids.begin() + static_cast<long>(first), ids.end(), slot.id);
  slot.bytes = static_cast<uint8_t>(word.size());
  slot.ids = static_cast<uint8_t>(ids.size() - first);
  slot.busy.clear(std::memory_order_release);
}

}  // namespace saccade
