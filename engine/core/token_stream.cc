#include "engine/core/token_stream.h"

namespace saccade {

void TokenStream::push(TokenEvent event) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    events_.push_back(std::move(event));
  }
  ready_.notify_one();
}

std::optional<TokenEvent> TokenStream::pop_until(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  // A deadline in the past asks for what is there; it must not cost a system call.
  if (events_.empty() && !closed_ && Clock::now() < deadline) {
    ready_.wait_until(lock, deadline, [this] { return !events_.empty() || closed_; });
  }
  if (events_.empty()) return std::nullopt;
  TokenEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

void TokenStream::close() {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    callback = std::move(close_callback_);
    close_callback_ = nullptr;
  }
  ready_.notify_all();
  if (callback) callback();  // outside the lock: it takes the engine queue's
}

bool TokenStream::closed() const { return closed_; }

void TokenStream::on_close(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (!closed_) {
      close_callback_ = std::move(callback);
      return;
    }
  }
  if (callback) callback();
}

}  // namespace saccade
