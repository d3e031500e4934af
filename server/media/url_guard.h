#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/status.h"
#include "server/media/resolver.h"

// What may be fetched: a URL of an allowed host, from a public address.
namespace saccade {

struct FetchPolicy {
  // Hosts whose pictures may be fetched: "example.com", or "*.example.com" for all below it. None:
  // nothing is fetched.
  std::vector<std::string> domains;
  // For tests against a server on this machine; lets through what the guard is there to stop.
  bool allow_private_addresses = false;
  size_t max_bytes = size_t{32} << 20;
  int max_redirects = 3;
  int connect_timeout_ms = 5'000;
  int total_timeout_ms = 20'000;  // of one picture, redirects included
  // Set: fetches that run end. Shared by all copies of a policy.
  std::shared_ptr<std::atomic<bool>> stopped = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<Resolver> resolver = std::make_shared<Resolver>();  // shared as well
};

// A checked http(s) URL, taken apart once: what was checked is what is fetched.
class MediaUrl {
 public:
  // InvalidArgument: no http(s) URL, with a user name, or of a host that is not allowed.
  static Result<MediaUrl> parse(const std::string& url, const FetchPolicy& policy);

  const std::string& host() const { return host_; }  // lower case, without a final dot
  const std::string& port() const { return port_; }
  void* handle() const { return handle_.get(); }  // a CURLU

 private:
  MediaUrl() = default;
  std::shared_ptr<void> handle_;
  std::string host_;
  std::string port_;
};

// Whether an address belongs to the public internet: no loopback, private, link-local, shared,
// documentation, multicast, mapped or translated one (the IANA special-purpose registries).
bool is_global_address(const sockaddr& address);

// Of the addresses that a name was resolved to, that to connect to: the first. InvalidArgument when
// there is none, or when any of them is not global and the policy wants that.
Result<std::string> pin_address(const addrinfo* found, const FetchPolicy& policy);

// The addresses of a host, found once and before `deadline`, as pin_address picks it.
Result<std::string> resolve_pinned(const MediaUrl& url, const FetchPolicy& policy,
                                   std::chrono::steady_clock::time_point deadline);

}  // namespace saccade
