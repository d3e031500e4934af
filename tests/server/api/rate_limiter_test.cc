#include "server/api/service/rate_limiter.h"

#include <catch2/catch_test_macros.hpp>
#include <map>

using namespace saccade;
using namespace saccade::api;

namespace {

using std::chrono::seconds;

KeyLimits limits() {
  KeyLimits limits;
  limits.requests_per_minute = 6;
  limits.tokens_per_minute = 600;
  limits.streams = 1;
  return limits;
}

}  // namespace

TEST_CASE("a bucket holds a minute's amount and fills evenly") {
  Account account(limits());
  const TimePoint start = Clock::now();
  double wait = 0;
  for (int i = 0; i < 6; ++i) CHECK(account.take(Account::kRequests, 1, start, wait).ok());
  const Status refused = account.take(Account::kRequests, 1, start, wait);
  CHECK(refused.code() == StatusCode::kRateLimited);
  CHECK(wait == 10);  // six a minute: one every ten seconds
  CHECK_FALSE(account.take(Account::kRequests, 1, start + seconds(9), wait).ok());
  CHECK(account.take(Account::kRequests, 1, start + seconds(10), wait).ok());
  CHECK_FALSE(account.take(Account::kRequests, 1, start + seconds(10), wait).ok());
  // Never more than a minute's amount, however long nothing came.
  for (int i = 0; i < 6; ++i) {
    CHECK(account.take(Account::kRequests, 1, start + seconds(100000), wait).ok());
  }
  CHECK_FALSE(account.take(Account::kRequests, 1, start + seconds(100000), wait).ok());
}

TEST_CASE("what is taken afterwards has to be made up for") {
  Account account(limits());
  const TimePoint start = Clock::now();
  double wait = 0;
  CHECK(account.take(Account::kTokens, 500, start, wait).ok());
  account.take_anyway(Account::kTokens, 400, start);  // 300 too many
  CHECK_FALSE(account.take(Account::kTokens, 1, start + seconds(30), wait).ok());
  CHECK(account.take(Account::kTokens, 10, start + seconds(31), wait).ok());
}

TEST_CASE("more than a minute's amount is refused for good") {
  Account account(limits());
  double wait = 0;
  const Status status = account.take(Account::kTokens, 601, Clock::now(), wait);
  CHECK(status.code() == StatusCode::kInvalidArgument);
}

TEST_CASE("streams are counted, and what has no limit is free") {
  Account account(limits());
  CHECK(account.open_stream().ok());
  CHECK(account.open_stream().code() == StatusCode::kRateLimited);
  account.close_stream();
  CHECK(account.open_stream().ok());
  Account free{KeyLimits()};
  double wait = 0;
  for (int i = 0; i < 1000; ++i) {
    CHECK(free.take(Account::kPixels, 1e12, Clock::now(), wait).ok());
    CHECK(free.open_stream().ok());
  }
  CHECK(free.headers(Clock::now()).empty());
}

TEST_CASE("headers tell limit, rest and time to a full bucket") {
  Account account(limits());
  const TimePoint start = Clock::now();
  double wait = 0;
  CHECK(account.take(Account::kTokens, 150, start, wait).ok());
  std::map<std::string, std::string> headers;
  for (const auto& [name, value] : account.headers(start)) headers[name] = value;
  CHECK(headers.size() == 6);
  CHECK(headers["x-ratelimit-limit-tokens"] == "600");
  CHECK(headers["x-ratelimit-remaining-tokens"] == "450");
  CHECK(headers["x-ratelimit-reset-tokens"] == "15s");
  CHECK(headers["x-ratelimit-remaining-requests"] == "6");
}
