#pragma once

#include <list>
#include <unordered_map>
#include <vector>

#include "engine/core/types.h"

namespace saccade {

// Which encoder outputs are resident in the executor's memory: the policy half of the encoder
// cache. Bounded in visual tokens (rows); the least recently used output nobody holds goes first.
// Engine thread only.
class EncoderCacheIndex {
 public:
  explicit EncoderCacheIndex(int capacity_tokens) : capacity_(capacity_tokens) {}

  int capacity() const { return capacity_; }
  int used() const { return used_; }

  bool contains(const ContentHash& key) const { return entries_.contains(key); }

  // Takes a reference on a resident output; false when it is not resident.
  bool acquire(const ContentHash& key);

  // Makes room for an output that is not resident and takes a reference on it. The outputs that
  // had to go are appended to `evicted`. False, with nothing changed, when held outputs leave too
  // little room.
  bool reserve(const ContentHash& key, int tokens, std::vector<ContentHash>* evicted);

  // Gives a reference back. The output stays until its room is needed.
  void release(const ContentHash& key);

  // The output is not there after all (encoding it failed). Nobody may hold it.
  void forget(const ContentHash& key);

  // References in all. For tests.
  int references() const;

 private:
  struct Entry {
    int tokens = 0;
    int references = 0;
    std::list<ContentHash>::iterator unheld;  // its place in unheld_, when references == 0
  };

  const int capacity_;
  int used_ = 0;           // tokens of all resident outputs
  int unheld_tokens_ = 0;  // tokens of those nobody holds
  std::unordered_map<ContentHash, Entry> entries_;
  std::list<ContentHash> unheld_;  // least recently used first
};

}  // namespace saccade
