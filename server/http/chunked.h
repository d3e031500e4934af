#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace saccade::http {

// Takes a chunked body apart (RFC 9112 section 7.1), however it is cut. Strict where a proxy in
// front could read another length: hexadecimal digits alone, CRLF line ends. Extensions and
// trailers are read and dropped.
class ChunkedDecoder {
 public:
  // A chunk larger than `max_size` is refused when it is announced.
  explicit ChunkedDecoder(uint64_t max_size) : max_size_(max_size) {}

  enum class State { kSize, kData, kDataEnd, kTrailer, kDone, kMalformed, kTooLarge };

  // Takes from the front of `data` and returns how many bytes; `content` is what of them belongs
  // to the body, in one piece. To be called again with the rest, until `ended`.
  size_t push(std::string_view data, std::string_view& content);

  State state() const { return state_; }
  bool ended() const { return state_ >= State::kDone; }

 private:
  size_t take_line(std::string_view data);
  void read_size(std::string_view line);
  void read_trailer(std::string_view line);

  const uint64_t max_size_;
  State state_ = State::kSize;
  std::string line_;         // of the current one, what has come
  uint64_t left_ = 0;        // bytes of the current chunk
  size_t trailer_size_ = 0;  // bytes
};

}  // namespace saccade::http
