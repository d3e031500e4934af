#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "server/media/byte_reader.h"
#include "server/media/format_decoders.h"
#include "server/media/gif_frame.h"

namespace saccade::media {
namespace {

constexpr int kMaxCodeBits = 12;
constexpr int kTableSize = 1 << kMaxCodeBits;
constexpr int kStackSize = kTableSize + 1;  // a run is at most one index per table entry and one
constexpr int kNoCode = -1;

// The codes of a chain of sub-blocks, least significant bit first.
class CodeReader {
 public:
  CodeReader(std::string_view bytes, size_t offset) : file_(bytes), at_(offset) {}

  // kNoCode at the end of the chain or of the file.
  int next(int bits) {
    while (held_ < bits) {
      if (block_left_ == 0) {
        block_left_ = file_.u8(at_++);
        // Only whole blocks count, as a truncated file is an error anyway.
        if (block_left_ == 0 || !file_.has(at_, block_left_)) return kNoCode;
      }
      buffer_ |= uint32_t{file_.u8(at_++)} << held_;
      held_ += 8;
      --block_left_;
    }
    const int code = static_cast<int>(buffer_ & ((1u << bits) - 1));
    buffer_ >>= bits;
    held_ -= bits;
    return code;
  }

 private:
  ByteReader file_;
  size_t at_;
  size_t block_left_ = 0;
  uint32_t buffer_ = 0;
  int held_ = 0;  // bits in buffer_
};

// GIF's variant of LZW (GIF89a specification, appendix F): variable code length, deferred clear.
class LzwDecoder {
 public:
  LzwDecoder(std::string_view bytes, size_t offset, int minimum_bits)
      : codes_(bytes, offset), clear_(1 << minimum_bits), minimum_bits_(minimum_bits) {
    restart();
  }

  // The next run of indices, in `run()`. False at the end of the data or when it is damaged.
  bool read_run() {
    int code = codes_.next(bits_);
    while (code == clear_) {
      restart();
      code = codes_.next(bits_);
    }
    if (code == kNoCode || code == clear_ + 1 || code > next_) return false;
    if (last_ == kNoCode) {
      if (code > clear_) return false;
      start_ = kStackSize;
      push(first_ = static_cast<uint8_t>(code));
    } else {
      expand(code);
    }
    last_ = code;
    return true;
  }
  const uint8_t* run() const { return stack_.data() + start_; }
  int run_length() const { return kStackSize - start_; }

 private:
  void restart() {
    next_ = clear_ + 2;
    bits_ = minimum_bits_ + 1;
    last_ = kNoCode;
  }
  void push(uint8_t index) { stack_[static_cast<size_t>(--start_)] = index; }

  void expand(int code) {
    start_ = kStackSize;
    int walk = code;
    if (code == next_) {  // the string that this very code is about to define
      push(first_);
      walk = last_;
    }
    while (walk >= clear_) {
      push(suffix_[static_cast<size_t>(walk)]);
      walk = prefix_[static_cast<size_t>(walk)];
    }
    push(first_ = static_cast<uint8_t>(walk));
    if (next_ == kTableSize) return;
    suffix_[static_cast<size_t>(next_)] = first_;
    prefix_[static_cast<size_t>(next_)] = static_cast<uint16_t>(last_);
    if (++next_ == 1 << bits_ && bits_ < kMaxCodeBits) ++bits_;
  }

  CodeReader codes_;
  int clear_;
  int minimum_bits_;
  int bits_ = 0;        // length of the next code
  int next_ = 0;        // the code to be defined next
  int last_ = kNoCode;  // the code before, kNoCode right after a clear
  uint8_t first_ = 0;   // first index of the last run
  int start_ = kStackSize;
  std::array<uint8_t, kTableSize> suffix_{};
  std::array<uint16_t, kTableSize> prefix_{};
  std::array<uint8_t, kStackSize> stack_{};  // filled from the back
};

// The order in which a frame's rows are stored.
std::vector<uint32_t> row_order(const GifFrame& frame) {
  struct Pass {
    uint32_t first, step;
  };
  static constexpr std::array<Pass, 4> kInterlaced = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
  static constexpr std::array<Pass, 1> kPlain = {{{0, 1}}};
  std::vector<uint32_t> order;
  order.reserve(frame.height);
  const auto add = [&](const Pass& pass) {
    for (uint32_t y = pass.first; y < frame.height; y += pass.step) order.push_back(y);
  };
  if (frame.interlaced) {
    std::for_each(kInterlaced.begin(), kInterlaced.end(), add);
  } else {
    std::for_each(kPlain.begin(), kPlain.end(), add);
  }
  return order;
}

// Decodes the frame's indices into `canvas` [canvas_height, canvas_width].
bool read_indices(std::string_view bytes, const GifFrame& frame, std::vector<uint8_t>* canvas) {
  const int minimum_bits = ByteReader(bytes).u8(frame.data_offset);
  if (minimum_bits < 1 || minimum_bits > 8) return false;
  LzwDecoder lzw(bytes, frame.data_offset + 1, minimum_bits);
  size_t used = 0, have = 0;  // of the current run
  for (const uint32_t y : row_order(frame)) {
    uint8_t* row = canvas->data() + size_t{frame.top + y} * frame.canvas_width + frame.left;
    for (size_t x = 0; x < frame.width;) {
      if (used == have) {
        if (!lzw.read_run()) return false;
        used = 0;
        have = static_cast<size_t>(lzw.run_length());
      }
      const size_t count = std::min(have - used, frame.width - x);
      std::memcpy(row + x, lzw.run() + used, count);
      x += count;
      used += count;
    }
  }
  return true;
}

}  // namespace

Status decode_gif(std::string_view bytes, RgbImage* image) {
  const Result<GifFrame> frame = read_gif_frame(bytes);
  if (!frame.ok()) return frame.status();
  if (frame->canvas_width != static_cast<uint32_t>(image->width) ||
      frame->canvas_height != static_cast<uint32_t>(image->height)) {
    return damaged("GIF", "its size is not what its header says");
  }
  if (frame->width == 0 || frame->height == 0) return damaged("GIF", "the first frame is empty");
  std::vector<uint8_t> canvas(size_t{frame->canvas_width} * frame->canvas_height,
                              frame->transparent);
  if (!read_indices(bytes, *frame, &canvas)) {
    return damaged("GIF", "the picture data is damaged or truncated");
  }
  std::array<std::array<uint8_t, 3>, 256> palette{};  // indices beyond a palette are black
  if (frame->palette.empty()) {
    for (size_t i = 0; i < palette.size(); ++i) palette[i].fill(static_cast<uint8_t>(i));
  } else {
    std::memcpy(palette.data(), frame->palette.data(), frame->palette.size() / 3 * 3);
  }
  uint8_t* out = image->pixels.data();
  for (const uint8_t index : canvas) {
    std::memcpy(out, palette[index].data(), 3);
    out += 3;
  }
  return Status();
}

}  // namespace saccade::media
