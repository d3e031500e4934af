#include "server/http/gunzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <new>

namespace saccade::http {

struct Gunzip::State {
  z_stream stream{};
};

Gunzip::Gunzip() : state_(std::make_unique<State>()) {
  constexpr int kGzipOnly = 16;  // added to the window's bits
  if (inflateInit2(&state_->stream, MAX_WBITS + kGzipOnly) != Z_OK) throw std::bad_alloc();
}

Gunzip::~Gunzip() { inflateEnd(&state_->stream); }

Gunzip::Result Gunzip::push(std::string_view data, std::string& out, size_t max_size) {
  if (data.empty()) return Result::kOk;
  if (finished_) return Result::kMalformed;  // bytes behind the end
  z_stream& stream = state_->stream;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  std::array<char, 65536> block;
  while (true) {
    // One byte more than may come, to tell a body that just fits from one that does not.
    const size_t room = std::min(block.size(), max_size - out.size() + 1);
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = static_cast<uInt>(room);
    const int status = inflate(&stream, Z_NO_FLUSH);
    const size_t made = room - stream.avail_out;
    if (out.size() + made > max_size) return Result::kTooLarge;
    out.append(block.data(), made);
    if (status == Z_STREAM_END) {
      finished_ = true;
      return stream.avail_in == 0 ? Result::kOk : Result::kMalformed;
    }
    if (status == Z_BUF_ERROR || (status == Z_OK && stream.avail_in == 0 && stream.avail_out > 0)) {
      return Result::kOk;  // wants more
    }
    if (status != Z_OK) return Result::kMalformed;
  }
}

}  // namespace saccade::http
