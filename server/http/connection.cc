#include "server/http/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace saccade::http {
namespace {

constexpr size_t kReadSize = 16384;
// After the last response what the client still sends is read and dropped for this long: closing a
// socket with unread bytes resets it, and the client would lose the answer it is about to read.
constexpr std::chrono::seconds kLingerTime{5};
constexpr size_t kLingerBytes = size_t{512} << 20;
constexpr int kStopGraceMilliseconds = 2000;

// A CR or LF alone, of which one is at or behind `from`: it will never be the end of a head here,
// so nobody has to wait for one.
bool has_bare_line_end(std::string_view text, size_t from) {
  for (size_t i = from; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) return true;
    if (i > 0 && text[i - 1] == '\r' && text[i] != '\n') return true;
  }
  return false;
}

// Printable ASCII but the space: what a method consists of, and more.
bool is_visible(char c) { return c > 0x20 && c < 0x7f; }

}  // namespace

Connection::Connection(int fd, int stop_fd, const ConnectionLimits& limits)
    : fd_(fd),
      stop_fd_(stop_fd),
      limits_(limits),
      awaited_since_(Clock::now().time_since_epoch().count()) {
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) return;
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &in.sin_addr, text.data(), text.size());
    remote_port_ = ntohs(in.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& in = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &in.sin6_addr, text.data(), text.size());
    remote_port_ = ntohs(in.sin6_port);
  }
  remote_address_ = text.data();
}

Connection::~Connection() {
  finish();
  close(fd_);  // nobody knows it any more: its number may be given away
}

void Connection::finish() {
  if (finished_) return;
  finished_ = true;
  awaited_since_ = Clock::now().time_since_epoch().count();
  if (!broken_) linger();
  broken_ = true;
  shutdown(fd_, SHUT_RDWR);
}

bool Connection::wait(short events, Clock::time_point deadline) {
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    std::array<pollfd, 2> fds{pollfd{fd_, events, 0}, pollfd{stop_fd_, POLLIN, 0}};
    const int ready =
        poll(fds.data(), fds.size(), static_cast<int>(std::min<int64_t>(left, 60'000)));
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    if (fds[0].revents != 0) return true;
    if (fds[1].revents != 0) break;
  }
  if (events == POLLIN) return false;
  // The server stops: what is being written still has a moment to go out.
  pollfd socket{fd_, events, 0};
  return poll(&socket, 1, kStopGraceMilliseconds) > 0;
}

ssize_t Connection::fill(Clock::time_point deadline) {
  drop_consumed();
  const size_t old_size = buffer_.size();
  while (true) {
    buffer_.resize(old_size + kReadSize);
    const ssize_t got = recv(fd_, buffer_.data() + old_size, kReadSize, MSG_DONTWAIT);
    buffer_.resize(old_size + std::max<ssize_t>(got, 0));
    if (got >= 0) return got;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      broken_ = true;
      return -1;
    }
    if (!wait(POLLIN, deadline)) return -1;
  }
}

void Connection::cut() {
  was_cut_ = true;
  shutdown(fd_, SHUT_RDWR);
}

int Connection::read_head(RequestHead& head, std::string& why) {
  awaited_since_ = Clock::now().time_since_epoch().count();
  const auto deadline = Clock::now() + limits_.read_timeout;
  size_t searched = 0;
  drop_consumed();
  while (true) {
    while (buffer_.compare(0, 2, "\r\n") == 0) buffer_.erase(0, 2);  // RFC 9112 2.2
    const size_t end = buffer_.find("\r\n\r\n", searched > 3 ? searched - 3 : 0);
    const size_t head_size = end == std::string::npos ? buffer_.size() : end + 4;
    const size_t line_end = std::min(buffer_.find("\r\n"), buffer_.size());
    if (line_end > limits_.max_target_bytes + 32) {  // method and version aside
      why = "the request target is longer than " + std::to_string(limits_.max_target_bytes) +
            " bytes";
      return 414;
    }
    if (has_bare_line_end(std::string_view(buffer_).substr(0, head_size), searched)) {
      why = "header lines end with CRLF";
      return 400;
    }
    // Whoever speaks TLS says hello and waits for an answer: it is not to wait in vain.
    if (!buffer_.empty() && buffer_ != "\r" && !is_visible(buffer_.front())) {
      why = "a request begins with its method; this server speaks http, not https";
      return 400;
    }
    if (head_size > limits_.max_head_bytes) {
      why = "the headers are larger than " + std::to_string(limits_.max_head_bytes) + " bytes";
      return 431;
    }
    if (end != std::string::npos) {
      const int status =
          parse_request_head(std::string_view(buffer_).substr(0, end + 4), head, why);
      buffer_.erase(0, end + 4);
      window_start_ = Clock::now();
      window_bytes_ = 0;
      if (status == 0 && head.target.size() > limits_.max_target_bytes) return 414;
      return status;
    }
    searched = buffer_.size();
    const ssize_t got = fill(deadline);
    if (got > 0) continue;
    if (got < 0 && !broken_ && !buffer_.empty()) {
      why = "the request did not arrive in time";
      return 408;
    }
    return -1;
  }
}

ssize_t Connection::wait_body() {
  if (buffered().empty()) {
    const auto now = Clock::now();
    if (now - window_start_ >= limits_.read_timeout) {
      const double seconds = std::chrono::duration<double>(limits_.read_timeout).count();
      if (window_bytes_ < seconds * static_cast<double>(limits_.min_body_rate)) return -1;
      window_start_ = now;
      window_bytes_ = 0;
    }
    const ssize_t got = fill(window_start_ + limits_.read_timeout);
    if (got <= 0) return got;
  }
  return static_cast<ssize_t>(buffered().size());
}

void Connection::consume(size_t count) {
  consumed_ += count;
  window_bytes_ += count;
}

void Connection::drop_consumed() {
  buffer_.erase(0, consumed_);
  consumed_ = 0;
}

bool Connection::write(std::string_view data) {
  while (!data.empty()) {
    if (broken_) return false;
    const ssize_t sent = send(fd_, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      data.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      broken_ = !wait(POLLOUT, Clock::now() + limits_.write_timeout);
    } else if (errno != EINTR) {
      broken_ = true;
    }
  }
  return !broken_;
}

bool Connection::peer_gone() const {
  if (broken_) return true;
  char byte;
  const ssize_t got = recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  // A client that ends its side is taken as gone: that is what a closed client looks like until
  // something is written to it, and one that only half-closes is not seen in practice.
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void Connection::linger() {
  shutdown(fd_, SHUT_WR);
  const auto deadline = Clock::now() + kLingerTime;
  size_t dropped = 0;
  while (dropped < kLingerBytes) {
    buffer_.clear();
    const ssize_t got = fill(deadline);
    if (got <= 0) return;
    dropped += static_cast<size_t>(got);
  }
}

}  // namespace saccade::http
