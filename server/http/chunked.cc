#include "server/http/chunked.h"

#include <algorithm>
#include <charconv>

#include "server/http/head_text.h"

namespace saccade::http {
namespace {

constexpr size_t kMaxLine = 8192;  // of an extension or a trailer
constexpr size_t kMaxTrailers = 65536;

}  // namespace

size_t ChunkedDecoder::push(std::string_view data, std::string_view& content) {
  content = {};
  if (ended() || data.empty()) return 0;
  if (state_ != State::kData) return take_line(data);
  content = data.substr(0, static_cast<size_t>(std::min<uint64_t>(left_, data.size())));
  left_ -= content.size();
  if (left_ == 0) state_ = State::kDataEnd;
  return content.size();
}

size_t ChunkedDecoder::take_line(std::string_view data) {
  const size_t end = data.find('\n');
  const size_t taken = end == std::string_view::npos ? data.size() : end + 1;
  line_ += data.substr(0, taken);
  if (line_.size() > kMaxLine) {
    state_ = State::kMalformed;
  } else if (end != std::string_view::npos) {
    const std::string line = std::move(line_);
    line_.clear();
    const std::string_view text = std::string_view(line).substr(0, line.size() - 1);
    if (!text.ends_with('\r') || has_control(text.substr(0, text.size() - 1))) {
      state_ = State::kMalformed;
    } else if (state_ == State::kSize) {
      read_size(text.substr(0, text.size() - 1));
    } else if (state_ == State::kTrailer) {
      read_trailer(text.substr(0, text.size() - 1));
    } else {  // behind the data stands a line's end and nothing else
      state_ = text.size() == 1 ? State::kSize : State::kMalformed;
    }
  }
  return taken;
}

// 1*HEXDIG [ *BWS ";" anything ]
void ChunkedDecoder::read_size(std::string_view line) {
  const char* end = line.data() + line.size();
  const auto [stop, error] = std::from_chars(line.data(), end, left_, 16);
  const std::string_view rest(stop, static_cast<size_t>(end - stop));
  const size_t extension = std::min(rest.find_first_not_of(" \t"), rest.size());
  const bool signed_or_empty = stop == line.data() || line.front() == '-';
  const bool valid = rest.empty() || (extension < rest.size() && rest[extension] == ';');
  if (signed_or_empty || !valid) {
    state_ = State::kMalformed;
  } else if (error != std::errc() || left_ > max_size_) {
    state_ = State::kTooLarge;
  } else {
    state_ = left_ > 0 ? State::kData : State::kTrailer;
  }
}

void ChunkedDecoder::read_trailer(std::string_view line) {
  trailer_size_ += line.size() + 2;
  if (line.empty()) {
    state_ = State::kDone;
  } else if (trailer_size_ > kMaxTrailers || line.find(':') == std::string_view::npos) {
    state_ = State::kMalformed;
  }
}

}  // namespace saccade::http
