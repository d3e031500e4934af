#pragma once

#include <netdb.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "engine/core/status.h"

namespace saccade {

// The addresses of a host, as getaddrinfo lists them; null: there are none.
using AddressList = std::shared_ptr<const addrinfo>;

// Looks up host names in bounded time. getaddrinfo cannot be told to stop, so it runs on a thread
// of its own: who waits no longer leaves the thread behind, and it ends with its lookup. There are
// never more of them than `max_threads`; beyond, lookups wait for one to end. Thread-safe.
class Resolver {
 public:
  using Lookup = std::function<AddressList(const std::string& host)>;

  // `lookup` may block; it runs on any thread, even after the Resolver is gone.
  explicit Resolver(Lookup lookup = system_lookup, int max_threads = 8);

  // kInvalidArgument when it took longer, kUnavailable once `stopped` is set.
  Result<AddressList> resolve(const std::string& host,
                              std::chrono::steady_clock::time_point deadline,
                              const std::atomic<bool>& stopped);

  static AddressList system_lookup(const std::string& host);

 private:
  struct State;
  const Lookup lookup_;
  const std::shared_ptr<State> state_;
};

}  // namespace saccade
