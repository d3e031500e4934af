#pragma once

// Text that remembers, byte by byte, whether it came from the user.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "server/prompt/text_segment.h"

namespace saccade::jinja {

// UTF-8 bytes with a mark per byte, stored as the mark of the first byte and the offsets where the
// mark flips. Uniform text (nearly all of it) needs no allocation beyond its bytes.
class MarkedText {
 public:
  MarkedText() = default;
  MarkedText(std::string bytes, bool from_user)
      : bytes_(std::move(bytes)), first_mark_(from_user) {}

  const std::string& bytes() const { return bytes_; }
  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  // Mark of the byte at `offset` (offset < size()).
  bool mark_at(size_t offset) const;
  // True when at least one byte came from the user.
  bool any_from_user() const { return !bytes_.empty() && (first_mark_ || !flips_.empty()); }
  bool uniform() const { return flips_.empty(); }

  void append(std::string_view bytes, bool from_user);
  void append(const MarkedText& other) { append(other, 0, other.size()); }
  // Appends the bytes [begin, end) of `other` with their marks.
  void append(const MarkedText& other, size_t begin, size_t end);
  MarkedText substr(size_t begin, size_t end) const;
  void reserve(size_t bytes) { bytes_.reserve(bytes); }

  // The same text with every byte marked `from_user`.
  MarkedText with_mark(bool from_user) const { return MarkedText(bytes_, from_user); }

  // Calls fn(std::string_view run, bool from_user) for each maximal run of equal marks.
  template <typename Fn>
  void for_each_run(size_t begin, size_t end, Fn&& fn) const {
    if (begin >= end) return;
    size_t flip = first_flip_after(begin);
    bool mark = first_mark_ != (flip % 2 == 1);
    while (begin < end) {
      const size_t stop = flip < flips_.size() && flips_[flip] < end ? flips_[flip] : end;
      fn(std::string_view(bytes_).substr(begin, stop - begin), mark);
      begin = stop;
      ++flip;
      mark = !mark;
    }
  }

  std::vector<TextSegment> segments() const;

 private:
  // Index into flips_ of the first flip at an offset greater than `offset`.
  size_t first_flip_after(size_t offset) const;
  bool last_mark() const { return first_mark_ != (flips_.size() % 2 == 1); }

  std::string bytes_;
  bool first_mark_ = false;
  std::vector<size_t> flips_;  // ascending byte offsets in (0, size())
};

}  // namespace saccade::jinja
