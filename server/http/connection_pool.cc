#include "server/http/connection_pool.h"

#include <chrono>
#include <system_error>
#include <thread>

namespace saccade::http {

bool ConnectionPool::start(std::function<void()> serve) {
  std::unique_lock lock(state_->mutex);
  if (!state_->make_room(lock)) return false;
  try {
    std::thread([state = state_, serve = std::move(serve)] {
      serve();
      std::lock_guard done_lock(state->mutex);
      --state->threads;
      state->changed.notify_all();
    }).detach();
  } catch (const std::system_error&) {
    return false;  // no thread to be had: as if everybody were being answered
  }
  ++state_->threads;
  return true;
}

void ConnectionPool::wait_until_empty() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->threads == 0; });
}

bool ConnectionPool::State::make_room(std::unique_lock<std::mutex>& lock) {
  constexpr std::chrono::milliseconds kPatience(200);
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (threads - cut >= limit && !cut_longest_awaited()) {
    // Threads that have only begun are nobody's yet, those that end no longer: either will tell.
    const bool all_known = static_cast<int>(members.size()) >= threads;
    if (all_known || changed.wait_until(lock, until) == std::cv_status::timeout) return false;
  }
  return true;
}

bool ConnectionPool::State::cut_longest_awaited() {
  Connection* longest = nullptr;
  for (Connection* member : members) {
    if (!member->awaited() || member->was_cut()) continue;
    if (longest == nullptr || member->awaited_since() < longest->awaited_since()) longest = member;
  }
  if (longest == nullptr) return false;
  longest->cut();
  ++cut;
  return true;
}

ConnectionPool::Member::Member(ConnectionPool& pool, Connection& connection) : state_(pool.state_) {
  std::lock_guard lock(state_->mutex);
  place_ = state_->members.insert(state_->members.end(), &connection);
  state_->changed.notify_all();
}

ConnectionPool::Member::~Member() {
  std::lock_guard lock(state_->mutex);
  if ((*place_)->was_cut()) --state_->cut;
  state_->members.erase(place_);
}

}  // namespace saccade::http
