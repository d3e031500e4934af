#include "engine/core/token_stream.h"

#include <algorithm>

namespace saccade {

void TokenStream::push(TokenEvent event) {
  {
    std::lock_guard lock(waiter_->mutex);
    if (closed_) return;
    events_.push_back(std::move(event));
  }
  waiter_->ready.notify_one();
}

TokenStream* TokenStream::wait_for_any(std::span<TokenStream* const> streams, TimePoint deadline) {
  Waiter& waiter = *streams.front()->waiter_;
  std::unique_lock lock(waiter.mutex);
  TokenStream* found = nullptr;
  const auto look = [&] {
    const auto at = std::find_if(streams.begin(), streams.end(), [](const TokenStream* stream) {
      return !stream->events_.empty() || stream->closed_;
    });
    found = at != streams.end() ? *at : nullptr;
    return found != nullptr;
  };
  // A deadline in the past asks for what is there; it must not cost a system call.
  if (!look() && Clock::now() < deadline) waiter.ready.wait_until(lock, deadline, look);
  return found;
}

std::optional<TokenEvent> TokenStream::pop_until(TimePoint deadline) {
  TokenStream* const self = this;
  if (wait_for_any({&self, 1}, deadline) == nullptr) return std::nullopt;
  std::lock_guard lock(waiter_->mutex);
  if (events_.empty()) return std::nullopt;
  TokenEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

void TokenStream::close() {
  std::function<void()> callback;
  {
    std::lock_guard lock(waiter_->mutex);
    if (closed_) return;
    closed_ = true;
    callback = std::move(close_callback_);
    close_callback_ = nullptr;
  }
  waiter_->ready.notify_all();
  if (callback) callback();  // outside the lock: it takes the engine queue's
}

bool TokenStream::closed() const { return closed_; }

void TokenStream::on_close(std::function<void()> callback) {
  {
    std::lock_guard lock(waiter_->mutex);
    if (!closed_) {
      close_callback_ = std::move(callback);
      return;
    }
  }
  if (callback) callback();
}

}  // namespace saccade
