#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/core/request.h"
#include "engine/core/status.h"

namespace saccade {

// A request's place in the bounded queue. Held from submit() until the request is first taken into
// a batch or ends; leaving the scope gives the place back.
class AdmissionTicket {
 public:
  AdmissionTicket() = default;
  explicit AdmissionTicket(std::shared_ptr<std::atomic<int>> waiting);
  AdmissionTicket(AdmissionTicket&&) = default;
  AdmissionTicket& operator=(AdmissionTicket&& other) noexcept;
  ~AdmissionTicket() { release(); }
  void release();

 private:
  std::shared_ptr<std::atomic<int>> waiting_;  // null: no place held
};

struct QueuedRequest {
  Request request;
  AdmissionTicket ticket;
};

// The one door into the engine. Bounded: what waits here and what the scheduler has not admitted
// yet count together.
class RequestQueue {
 public:
  explicit RequestQueue(int max_waiting);

  // Any thread. All requests are taken or none. kInvalidArgument: more than the queue ever holds;
  // kResourceExhausted: full now; kUnavailable: draining or stopped.
  Status submit(std::vector<Request> requests);

  // Any thread: makes a sleeping drain() return.
  void wake();

  // Any thread: no new work from now on.
  void refuse_new();

  // Any thread: refuse_new(), and drain() returns false from now on.
  void stop();

  // Any thread. Waits until the engine sleeps with nothing left to do, or has ended; false when
  // the deadline passed before.
  bool wait_until_idle(TimePoint deadline);

  // Engine thread. Appends what was submitted. With `block` (the engine has nothing to do) sleeps
  // until there is something, a wake() or a stop(). False: stopped.
  bool drain(std::vector<QueuedRequest>& incoming, bool block);

  // Engine thread, after its loop has ended: what was submitted and never drained.
  std::vector<QueuedRequest> take_rest();

  // Requests that hold a ticket.
  int waiting() const { return *waiting_; }

 private:
  const int max_waiting_;
  const std::shared_ptr<std::atomic<int>> waiting_ = std::make_shared<std::atomic<int>>(0);
  std::mutex mutex_;
  std::condition_variable work_;  // the engine thread sleeps here
  std::condition_variable idle_;  // wait_until_idle() sleeps here
  std::vector<QueuedRequest> pending_;
  bool sleeping_ = false;  // the engine thread is inside drain(block = true)
  bool woken_ = false;
  bool refusing_ = false;
  bool stopped_ = false;
};

}  // namespace saccade
