#include "engine/core/token_stream.h"

#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <thread>

namespace saccade {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TokenEvent event(TokenId token, FinishReason finish = FinishReason::kNone) {
  TokenEvent result;
  result.token = token;
  result.finish = finish;
  return result;
}

TEST_CASE("a token stream hands events over in order") {
  TokenStream stream;
  stream.push(event(1));
  stream.push(event(2, FinishReason::kStop));
  CHECK(stream.pop_until(TimePoint{})->token == 1);
  CHECK(stream.pop_until(TimePoint{})->finish == FinishReason::kStop);
  CHECK_FALSE(stream.pop_until(TimePoint{}));
}

TEST_CASE("pop_until gives up at its deadline") {
  TokenStream stream;
  const TimePoint start = Clock::now();
  CHECK_FALSE(stream.pop_until(start + milliseconds(20)));
  CHECK(Clock::now() - start >= milliseconds(20));
}

TEST_CASE("pop_until wakes for an event and for close()") {
  TokenStream stream;
  const bool closes = GENERATE(false, true);
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(5));
    closes ? stream.close() : stream.push(event(7));
  });
  const TimePoint start = Clock::now();
  CHECK(stream.pop_until(start + seconds(60)).has_value() == !closes);
  CHECK(Clock::now() - start < seconds(30));
  other.join();
}

TEST_CASE("a worker sleeps on all of its streams at once") {
  const auto waiter = std::make_shared<TokenStream::Waiter>();
  TokenStream first(waiter), second(waiter);
  const std::array<TokenStream*, 2> both = {&first, &second};
  const TimePoint start = Clock::now();
  CHECK(TokenStream::wait_for_any(both, start + milliseconds(20)) == nullptr);
  CHECK(Clock::now() - start >= milliseconds(20));

  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(5));
    second.push(event(7));
  });
  CHECK(TokenStream::wait_for_any(both, start + seconds(60)) == &second);
  CHECK(Clock::now() - start < seconds(30));
  other.join();

  first.push(event(8));
  CHECK(TokenStream::wait_for_any(both, TimePoint{}) == &first);
  CHECK(first.pop_until(TimePoint{})->token == 8);
  CHECK(second.pop_until(TimePoint{})->token == 7);
  CHECK(TokenStream::wait_for_any(both, TimePoint{}) == nullptr);
  second.close();
  CHECK(TokenStream::wait_for_any(both, TimePoint{}) == &second);
}

TEST_CASE("a closed stream ignores events and tells its callback once") {
  TokenStream stream;
  int calls = 0;
  stream.on_close([&] { ++calls; });
  stream.push(event(1));
  CHECK_FALSE(stream.closed());
  stream.close();
  stream.close();
  CHECK(stream.closed());
  CHECK(calls == 1);
  stream.push(event(2));
  CHECK(stream.pop_until(TimePoint{})->token == 1);  // came before
  CHECK_FALSE(stream.pop_until(Clock::now() + seconds(60)));
}

TEST_CASE("a callback set after close() is called at once") {
  TokenStream stream;
  stream.close();
  int calls = 0;
  stream.on_close([&] { ++calls; });
  CHECK(calls == 1);
}

TEST_CASE("events cross threads without loss while the stream is closed") {
  for (int round = 0; round < 20; ++round) {
    TokenStream stream;
    std::atomic<int> calls = 0;
    stream.on_close([&] { ++calls; });
    std::thread engine([&] {
      for (int i = 0; i < 1000; ++i) stream.push(event(i));
    });
    std::thread closer([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(50 * round));
      stream.close();
    });
    TokenId next = 0;
    while (const auto got = stream.pop_until(Clock::now() + seconds(60))) {
      CHECK(got->token == next++);  // a beginning, in order
    }
    engine.join();
    closer.join();
    CHECK(calls == 1);
  }
}

}  // namespace
}  // namespace saccade
