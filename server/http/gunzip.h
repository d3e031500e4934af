#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace saccade::http {

// Inflates one gzip stream (RFC 1952) that arrives in pieces. Used by one thread.
class Gunzip {
 public:
  Gunzip();
  ~Gunzip();

  enum class Result { kOk, kTooLarge, kMalformed };
  // Appends to `out`, which never grows beyond `max_size` bytes.
  Result push(std::string_view data, std::string& out, size_t max_size);
  // The stream came to its end, checksum and length right.
  bool finished() const { return finished_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  bool finished_ = false;
};

}  // namespace saccade::http
