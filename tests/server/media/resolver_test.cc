#include "server/media/resolver.h"

#include <catch2/catch_test_macros.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "server/media/media_fetcher.h"

using namespace saccade;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

std::chrono::steady_clock::time_point in(milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

// A name server that does not answer until it is told to.
class SilentServer {
 public:
  AddressList lookup(const std::string& host) {
    std::unique_lock lock(mutex_);
    most_ = std::max(most_, ++waiting_);
    changed_.wait(lock, [this] { return answers_; });
    --waiting_;
    changed_.notify_all();
    return Resolver::system_lookup(host);
  }
  void answer() {
    std::unique_lock lock(mutex_);
    answers_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return waiting_ == 0; });
  }
  int most() {
    std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool answers_ = false;
  int waiting_ = 0, most_ = 0;
};

Resolver::Lookup of(const std::shared_ptr<SilentServer>& server) {
  return [server](const std::string& host) { return server->lookup(host); };
}

const std::atomic<bool> kGoesOn{false};

}  // namespace

TEST_CASE("a host is found") {
  Resolver resolver;
  const auto found = resolver.resolve("127.0.0.1", in(seconds(60)), kGoesOn);
  REQUIRE(found.ok());
  REQUIRE(*found != nullptr);
  CHECK((*found)->ai_family == AF_INET);
  const auto none = resolver.resolve("no name", in(seconds(60)), kGoesOn);
  REQUIRE(none.ok());
  CHECK(*none == nullptr);
}

TEST_CASE("a lookup that hangs keeps nobody longer than its time, and threads are bounded") {
  const auto server = std::make_shared<SilentServer>();
  {
    Resolver resolver(of(server), /*max_threads=*/2);
    for (int i = 0; i < 6; ++i) {
      const auto found = resolver.resolve("127.0.0.1", in(milliseconds(20)), kGoesOn);
      CHECK(found.status().code() == StatusCode::kInvalidArgument);
    }
    const std::atomic<bool> stopped{true};
    const auto found = resolver.resolve("127.0.0.1", in(seconds(60)), stopped);
    CHECK(found.status().code() == StatusCode::kUnavailable);
    CHECK(server->most() <= 2);
    server->answer();
    // The threads are free again.
    CHECK(resolver.resolve("127.0.0.1", in(seconds(60)), kGoesOn).ok());
  }
}

TEST_CASE("threads may end after the resolver") {
  const auto server = std::make_shared<SilentServer>();
  CHECK_FALSE(Resolver(of(server)).resolve("127.0.0.1", in(milliseconds(50)), kGoesOn).ok());
  server->answer();
}

TEST_CASE("a fetch whose host is not found in time is refused in time") {
  const auto server = std::make_shared<SilentServer>();
  FetchPolicy policy;
  policy.domains = {"pictures.example"};
  policy.total_timeout_ms = 50;
  policy.resolver = std::make_shared<Resolver>(of(server));
  const auto got = fetch_media("http://pictures.example/a.png", policy, {});
  REQUIRE_FALSE(got.ok());
  CHECK(got.status().code() == StatusCode::kInvalidArgument);
  CHECK(got.status().message().find("in time") != std::string::npos);
  server->answer();
}
