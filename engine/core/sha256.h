#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/core/types.h"

namespace saccade {

// SHA-256 (FIPS 180-4), streaming. Names content in the prefix cache and the encoder cache, where
// equal hashes are taken for equal content: a shorter or faster hash would not do.
class Sha256 {
 public:
  void update(const void* data, size_t size);
  void update(std::string_view text) { update(text.data(), text.size()); }
  // Integers as 4 little-endian bytes.
  void update_u32(uint32_t value);
  void update(const ContentHash& hash) { update(hash.bytes.data(), hash.bytes.size()); }

  // Ends the message. The object must not be used again.
  ContentHash finish();

 private:
  void compress(const uint8_t* block);

  uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint8_t buffer_[64];
  size_t buffered_ = 0;
  uint64_t total_ = 0;  // bytes
};

}  // namespace saccade
