#pragma once

#include <cstdint>
#include <string_view>

namespace saccade::media {

// Bounds-checked views into a picture file. A read past the end gives 0 and an offset past the end
// gives an empty view; callers check `has` where the difference matters.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  size_t size() const { return bytes_.size(); }
  bool has(size_t offset, size_t count) const {
    return offset <= bytes_.size() && count <= bytes_.size() - offset;
  }
  std::string_view view(size_t offset, size_t count) const {
    return offset <= bytes_.size() ? bytes_.substr(offset, count) : std::string_view();
  }
  uint8_t u8(size_t offset) const {
    return offset < bytes_.size() ? static_cast<uint8_t>(bytes_[offset]) : uint8_t{0};
  }
  uint32_t u16le(size_t offset) const { return u8(offset) | uint32_t{u8(offset + 1)} << 8; }
  uint32_t u16be(size_t offset) const { return u8(offset + 1) | uint32_t{u8(offset)} << 8; }
  uint32_t u24le(size_t offset) const { return u16le(offset) | uint32_t{u8(offset + 2)} << 16; }
  uint32_t u32le(size_t offset) const { return u16le(offset) | u16le(offset + 2) << 16; }
  uint32_t u32be(size_t offset) const { return u16be(offset) << 16 | u16be(offset + 2); }

 private:
  std::string_view bytes_;
};

}  // namespace saccade::media
