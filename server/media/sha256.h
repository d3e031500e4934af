#pragma once

#include <initializer_list>
#include <string_view>

#include "engine/core/types.h"

namespace saccade {

// SHA-256 (FIPS 180-4) of the parts, one after the other. Through libcrypto, which uses the
// processor's SHA instructions: picture files are megabytes. (engine/core/sha256.h, for the few
// bytes of cache keys, does without a library.)
ContentHash sha256(std::initializer_list<std::string_view> parts);
inline ContentHash sha256(std::string_view bytes) { return sha256({bytes}); }

// The raw 32 bytes of a hash, as a part of another one.
inline std::string_view as_bytes(const ContentHash& hash) {
  return {reinterpret_cast<const char*>(hash.bytes.data()), hash.bytes.size()};
}

}  // namespace saccade
