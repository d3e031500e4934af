#include "server/media/resolver.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

namespace saccade {
namespace {

constexpr std::chrono::milliseconds kStopCheck{200};

}  // namespace

// Outlives the Resolver for as long as one of its threads does.
struct Resolver::State {
  // Waits until `ready`; not OK when that was not in time.
  template <typename Ready>
  Status wait(std::unique_lock<std::mutex>& lock, std::chrono::steady_clock::time_point deadline,
              const std::atomic<bool>& stopped, Ready ready) {
    while (!ready()) {
      const auto now = std::chrono::steady_clock::now();
      if (stopped) return Status(StatusCode::kUnavailable, "the server is shutting down");
      if (now >= deadline) {
        return invalid_argument("the picture's host could not be found in time");
      }
      changed.wait_until(lock, std::min(deadline, now + kStopCheck));
    }
    return {};
  }

  std::mutex mutex;
  std::condition_variable changed;  // a lookup has ended
  int free_threads = 0;
};

Resolver::Resolver(Lookup lookup, int max_threads)
    : lookup_(std::move(lookup)), state_(std::make_shared<State>()) {
  state_->free_threads = max_threads;
}

Result<AddressList> Resolver::resolve(const std::string& host,
                                      std::chrono::steady_clock::time_point deadline,
                                      const std::atomic<bool>& stopped) {
  const auto found = std::make_shared<std::optional<AddressList>>();  // guarded by the mutex
  std::unique_lock lock(state_->mutex);
  Status status =
      state_->wait(lock, deadline, stopped, [this] { return state_->free_threads > 0; });
  if (!status.ok()) return status;
  try {
    std::thread([state = state_, lookup = lookup_, host, found] {
      AddressList list = lookup(host);
      std::lock_guard done(state->mutex);
      *found = std::move(list);
      ++state->free_threads;
      state->changed.notify_all();
    }).detach();
  } catch (const std::system_error&) {
    return Status(StatusCode::kUnavailable, "no thread is left to look up the picture's host");
  }
  --state_->free_threads;
  status = state_->wait(lock, deadline, stopped, [&found] { return found->has_value(); });
  if (!status.ok()) return status;
  return **found;
}

AddressList Resolver::system_lookup(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return nullptr;
  return AddressList(found,
                     [](const addrinfo* list) { freeaddrinfo(const_cast<addrinfo*>(list)); });
}

}  // namespace saccade
