#pragma once

#include <sys/types.h>

#include <atomic>
#include <string>
#include <string_view>

#include "server/http/limits.h"
#include "server/http/request_head.h"

namespace saccade::http {

// One accepted socket. Every wait has a deadline and ends when `stop_fd` becomes readable, so a
// slow or silent client costs its own thread only, and that for a bounded time. Used by one thread.
class Connection {
 public:
  // Takes the socket over. `stop_fd` stays the caller's.
  Connection(int fd, int stop_fd, const ConnectionLimits& limits);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Waits for the next request. 0: `head` is filled. -1: the client closed, or sent nothing in
  // time. Else the status to refuse with (400, 408, 414, 431, 501, 505) and `why`.
  int read_head(RequestHead& head, std::string& why);

  // Waits until some of the body is here, and returns how much; 0: the client ended its side, -1:
  // it is gone, or too slow.
  ssize_t wait_body();
  // What is here, until the next call of anything but consume(), which takes from its front.
  std::string_view buffered() const { return std::string_view(buffer_).substr(consumed_); }
  void consume(size_t count);

  // False when the client is gone or takes nothing for the write timeout.
  bool write(std::string_view data);

  // The request has been read. Until the next read_head() the server owes the client something,
  // not the other way round.
  void answer() { awaited_since_ = kAnswering; }
  // For the pool, under its lock, from any thread: since when the client is waited for.
  bool awaited() const { return awaited_since_ != kAnswering; }
  int64_t awaited_since() const { return awaited_since_; }
  void cut();  // as if the client had gone
  bool was_cut() const { return was_cut_; }

  // Lets the client read what was written, for a moment, then ends the connection.
  void finish();

  // The client closed its side, or the connection broke.
  bool peer_gone() const;

  const std::string& remote_address() const { return remote_address_; }
  int remote_port() const { return remote_port_; }

 private:
  using Clock = std::chrono::steady_clock;
  bool wait(short events, Clock::time_point deadline);
  // Appends what the socket has to buffer_; as read().
  ssize_t fill(Clock::time_point deadline);
  void linger();
  void drop_consumed();

  const int fd_;
  const int stop_fd_;
  const ConnectionLimits& limits_;
  std::string remote_address_;
  int remote_port_ = 0;
  std::string buffer_;   // received
  size_t consumed_ = 0;  // of it, at its front
  bool broken_ = false;
  bool finished_ = false;
  static constexpr int64_t kAnswering = -1;
  std::atomic<int64_t> awaited_since_;  // ticks of Clock, or kAnswering
  std::atomic<bool> was_cut_{false};
  Clock::time_point window_start_;  // of the body rate
  size_t window_bytes_ = 0;
};

}  // namespace saccade::http
