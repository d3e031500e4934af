#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

namespace saccade {

using TokenId = int32_t;
using RequestId = uint64_t;
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
inline double seconds_since(TimePoint start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// 256 bits that name content: a SHA-256 of bytes and of everything that decides what the model
// sees of them. Whole, never shortened: a collision would show one user another one's picture.
struct ContentHash {
  std::array<uint8_t, 32> bytes{};
  friend bool operator==(const ContentHash&, const ContentHash&) = default;
};

}  // namespace saccade

template <>
struct std::hash<saccade::ContentHash> {
  size_t operator()(const saccade::ContentHash& hash) const noexcept {
    size_t word;
    std::memcpy(&word, hash.bytes.data(), sizeof word);  // any 8 bytes of a SHA-256 are uniform
    return word;
  }
};
