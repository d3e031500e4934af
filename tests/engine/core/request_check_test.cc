#include "engine/core/request_check.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <limits>

#include "tests/engine/core/fixtures.h"

namespace saccade::testing {
namespace {

constexpr int kMax = std::numeric_limits<int>::max();

StatusCode check(const Request& request) { return check_request(request, small_config()).code(); }

// 16 positions in small_config(): four blocks of four, and a model length of 16.
TEST_CASE("what fits is let in, up to the last position") {
  CHECK(check(make_request(1, ids(0, 1), 1)) == StatusCode::kOk);
  CHECK(check(make_request(1, ids(0, 15), 1)) == StatusCode::kOk);
  CHECK(check(make_request(1, ids(0, 16), 1)) == StatusCode::kTooLong);
  CHECK(check(make_request(1, ids(0, 1), 15)) == StatusCode::kOk);
  CHECK(check(make_request(1, ids(0, 1), 16)) == StatusCode::kTooLong);
  CHECK(check(make_request(1, ids(0, 1), kMax)) == StatusCode::kTooLong);
}

TEST_CASE("the KV cache bounds a request as the model's length does") {
  SchedulerConfig config = small_config();
  config.max_model_len = 100;
  // The last answer token needs no position.
  CHECK(check_request(make_request(1, ids(0, 10), 7), config).ok());
  CHECK(check_request(make_request(1, ids(0, 10), 8), config).code() == StatusCode::kTooLong);
}

TEST_CASE("no answer, no prompt and no such token are refused") {
  CHECK(check(make_request(1, {}, 1)) == StatusCode::kInvalidArgument);
  CHECK(check(make_request(1, ids(0, 1), 0)) == StatusCode::kInvalidArgument);
  CHECK(check(make_request(1, ids(0, 1), -3)) == StatusCode::kInvalidArgument);
  CHECK(check(make_request(1, {-1}, 1)) == StatusCode::kInvalidArgument);
  CHECK(check(make_request(1, {999}, 1)) == StatusCode::kOk);
  CHECK(check(make_request(1, {1000}, 1)) == StatusCode::kInvalidArgument);
  Request request = make_request(1, ids(0, 1), 1);
  request.stream = nullptr;
  CHECK(check(request) == StatusCode::kInternal);
}

TEST_CASE("media spans must be ascending, disjoint, inside and backed") {
  Request request = make_request(1, ids(0, 8), 1);
  request.media = {picture(1, 4), picture(2, 4)};
  request.spans = {{0, 4, 0, 0}, {4, 4, 1, 0}};
  CHECK(check(request) == StatusCode::kOk);

  const MediaSpan bad = GENERATE(values<MediaSpan>({
      {3, 4, 1, 0},     // overlaps the first
      {4, 0, 1, 0},     // empty
      {4, -1, 1, 0},    // negative
      {5, 4, 1, 0},     // beyond the prompt
      {4, kMax, 1, 0},  // overflows
      {-1, 4, 1, 0},    // before the prompt
      {4, 4, 2, 0},     // no such picture
      {4, 4, -1, 0},    // no such picture
      {4, 4, 1, -1},    // no such row
      {4, 4, 1, 5},     // more rows than the encoder cache holds
      {4, 4, 1, kMax},  // overflows
  }));
  request.spans[1] = bad;
  CHECK(check(request) == StatusCode::kInvalidArgument);
}

TEST_CASE("a span of a picture without content is refused") {
  Request request = make_request(1, ids(0, 8), 1);
  add_picture(request, 0, picture(1, 4));
  request.media[0].media = nullptr;
  CHECK(check(request) == StatusCode::kInvalidArgument);
}

TEST_CASE("the message names the numbers") {
  const Status status = check_request(make_request(1, ids(0, 10), 20), small_config());
  CHECK(status.message() ==
        "this model's maximum context length is 16 tokens, but you asked for 30 tokens (10 in the "
        "prompt, 20 in the answer)");
}

}  // namespace
}  // namespace saccade::testing
