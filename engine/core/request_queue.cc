#include "engine/core/request_queue.h"

#include <iterator>
#include <string>

namespace saccade {

AdmissionTicket::AdmissionTicket(std::shared_ptr<std::atomic<int>> waiting)
    : waiting_(std::move(waiting)) {
  ++*waiting_;
}

AdmissionTicket& AdmissionTicket::operator=(AdmissionTicket&& other) noexcept {
  if (this != &other) {
    release();
    waiting_ = std::move(other.waiting_);
  }
  return *this;
}

void AdmissionTicket::release() {
  if (waiting_ == nullptr) return;
  --*waiting_;
  waiting_.reset();
}

RequestQueue::RequestQueue(int max_waiting) : max_waiting_(max_waiting) {}

Status RequestQueue::submit(std::vector<Request> requests) {
  {
    std::lock_guard lock(mutex_);
    if (refusing_) return Status(StatusCode::kUnavailable, "the server is shutting down");
    const auto limit = static_cast<size_t>(max_waiting_);
    if (requests.size() > limit) {
      return invalid_argument("n is larger than the queue (" + std::to_string(limit) + ")", "n");
    }
    // Tickets are taken under the lock alone, so the sum cannot grow in between.
    if (static_cast<size_t>(waiting()) + requests.size() > limit) {
      return Status(StatusCode::kResourceExhausted,
                    "too many requests are waiting (" + std::to_string(limit) + "); retry later");
    }
    for (Request& request : requests) {
      pending_.push_back({std::move(request), AdmissionTicket(waiting_)});
    }
  }
  work_.notify_one();
  return Status();
}

void RequestQueue::wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  work_.notify_one();
}

void RequestQueue::refuse_new() {
  std::lock_guard lock(mutex_);
  refusing_ = true;
}

void RequestQueue::stop() {
  {
    std::lock_guard lock(mutex_);
    refusing_ = true;
    stopped_ = true;
  }
  work_.notify_one();
  idle_.notify_all();
}

bool RequestQueue::wait_until_idle(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  return idle_.wait_until(lock, deadline,
                          [this] { return stopped_ || (sleeping_ && pending_.empty()); });
}

bool RequestQueue::drain(std::vector<QueuedRequest>& incoming, bool block) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return stopped_ || woken_ || !pending_.empty(); };
  if (block && !ready()) {
    sleeping_ = true;
    idle_.notify_all();
    work_.wait(lock, ready);
    sleeping_ = false;
  }
  woken_ = false;
  if (stopped_) return false;
  std::move(pending_.begin(), pending_.end(), std::back_inserter(incoming));
  pending_.clear();
  return true;
}

std::vector<QueuedRequest> RequestQueue::take_rest() {
  std::lock_guard lock(mutex_);
  return std::exchange(pending_, {});
}

}  // namespace saccade
