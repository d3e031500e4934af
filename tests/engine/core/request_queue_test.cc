#include "engine/core/request_queue.h"

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <thread>

namespace saccade {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::vector<Request> requests(std::initializer_list<RequestId> ids) {
  std::vector<Request> result;
  for (const RequestId id : ids) result.emplace_back().id = id;
  return result;
}

TEST_CASE("a ticket holds a place until it is released") {
  auto waiting = std::make_shared<std::atomic<int>>(0);
  {
    AdmissionTicket first(waiting);
    AdmissionTicket second(waiting);
    CHECK(*waiting == 2);
    AdmissionTicket moved(std::move(first));
    CHECK(*waiting == 2);
    moved = std::move(second);  // the place `moved` held is given back
    CHECK(*waiting == 1);
    moved.release();
    moved.release();
    CHECK(*waiting == 0);
    AdmissionTicket third(waiting);
    CHECK(*waiting == 1);
  }
  CHECK(*waiting == 0);
}

TEST_CASE("the queue is bounded by tickets, not by what is still inside") {
  RequestQueue queue(3);
  CHECK(queue.submit(requests({1, 2})).ok());
  CHECK(queue.submit(requests({3, 4})).code() == StatusCode::kResourceExhausted);  // all or none
  CHECK(queue.waiting() == 2);
  CHECK(queue.submit(requests({3})).ok());
  std::vector<QueuedRequest> taken;
  CHECK(queue.drain(taken, true));
  REQUIRE(taken.size() == 3);
  for (RequestId id = 1; id <= 3; ++id) CHECK(taken[id - 1].request.id == id);
  // Drained, but not admitted: the places are still taken.
  CHECK(queue.submit(requests({5})).code() == StatusCode::kResourceExhausted);
  taken[0].ticket.release();
  CHECK(queue.submit(requests({5})).ok());
}

TEST_CASE("more requests than the queue ever holds are refused for good") {
  RequestQueue queue(2);
  CHECK(queue.submit(requests({1, 2, 3})).code() == StatusCode::kInvalidArgument);
  CHECK(queue.waiting() == 0);
}

TEST_CASE("drain() does not block with work, after wake() or when asked not to") {
  RequestQueue queue(4);
  std::vector<QueuedRequest> taken;
  CHECK(queue.drain(taken, false));
  CHECK(taken.empty());
  queue.wake();
  CHECK(queue.drain(taken, true));
  CHECK(taken.empty());
  CHECK(queue.submit(requests({1})).ok());
  CHECK(queue.drain(taken, true));
  CHECK(taken.size() == 1);
}

TEST_CASE("a sleeping drain() is woken by submit, wake and stop") {
  for (const int by : {0, 1, 2}) {
    RequestQueue queue(4);
    std::vector<QueuedRequest> taken;
    bool goes_on = false;
    std::thread engine([&] { goes_on = queue.drain(taken, true); });
    CHECK(queue.wait_until_idle(Clock::now() + seconds(60)));  // it sleeps now
    if (by == 0) CHECK(queue.submit(requests({1})).ok());
    if (by == 1) queue.wake();
    if (by == 2) queue.stop();
    engine.join();
    CHECK(goes_on == (by != 2));
    CHECK(taken.size() == (by == 0 ? 1 : 0));
  }
}

TEST_CASE("a draining queue refuses new work and keeps the old") {
  RequestQueue queue(4);
  CHECK(queue.submit(requests({1})).ok());
  queue.refuse_new();
  CHECK(queue.submit(requests({2})).code() == StatusCode::kUnavailable);
  CHECK_FALSE(queue.wait_until_idle(Clock::now() + milliseconds(1)));
  std::vector<QueuedRequest> taken;
  CHECK(queue.drain(taken, false));
  CHECK(taken.size() == 1);
}

TEST_CASE("a stopped queue gives back what was never drained") {
  RequestQueue queue(4);
  CHECK(queue.submit(requests({1, 2})).ok());
  queue.stop();
  std::vector<QueuedRequest> taken;
  CHECK_FALSE(queue.drain(taken, true));
  CHECK(taken.empty());
  CHECK(queue.take_rest().size() == 2);
  CHECK(queue.waiting() == 0);
  CHECK(queue.submit(requests({3})).code() == StatusCode::kUnavailable);
}

}  // namespace
}  // namespace saccade
