// Pictures that the decoder looks at from within: they stay as long as a token is to come that sees
// them.

#include <catch2/catch_test_macros.hpp>

#include "engine/core/request_check.h"
#include "tests/engine/core/fixtures.h"

namespace saccade::testing {
namespace {

SchedulerConfig look_config() {
  SchedulerConfig config = small_config();
  config.num_blocks = 40;
  config.encoder_cache_tokens = 5;
  return config;
}

// From `position` on, to the prompt's end or for `length` tokens.
void look(Request& request, int position, const EncoderInput& input, int length = 0) {
  MediaSpan span;
  span.position = position;
  span.length = length > 0 ? length : static_cast<int>(request.prompt.size()) - position;
  span.media = static_cast<int>(request.media.size());
  span.memory_rows = input.media->height;
  request.media.push_back(input);
  request.spans.push_back(span);
}

std::vector<RequestId> step(Bench& bench) {
  const Batch& batch = bench.scheduler.plan();
  std::vector<RequestId> ran;
  for (const BatchEntry& entry : batch.entries) ran.push_back(entry.sequence);
  if (!batch.entries.empty()) bench.scheduler.commit(bench.executor.execute(batch));
  return ran;
}

TEST_CASE("looks: the answer goes on looking, and the picture stays until its end") {
  Bench bench(look_config());
  Request request = make_request(1, ids(10, 5), 3);
  look(request, 2, picture(1, 3));
  bench.submit(request);
  const Batch& first = bench.scheduler.plan();
  REQUIRE(first.entries.size() == 1);
  CHECK(first.entries[0].spans[0].length == 6);  // 3 tokens of the prompt, 3 of the answer
  CHECK(first.encode.size() == 1);
  bench.scheduler.commit(bench.executor.execute(first));
  for (int decode = 0; decode < 2; ++decode) {
    CHECK(bench.scheduler.encoder_cache().references() == 1);
    const Batch& batch = bench.scheduler.plan();
    REQUIRE(batch.entries.size() == 1);
    CHECK(batch.encode.empty());
    bench.scheduler.commit(bench.executor.execute(batch));
  }
  CHECK(bench.scheduler.idle());
  CHECK(bench.scheduler.encoder_cache().references() == 0);
}

TEST_CASE("looks: a picture nobody sees any more is let go before the answer") {
  Bench bench(look_config());
  Request request = make_request(1, ids(10, 5), 3);
  look(request, 1, picture(1, 3), 3);  // not the last token
  bench.submit(request);
  CHECK(step(bench) == std::vector<RequestId>{1});
  CHECK(bench.scheduler.encoder_cache().references() == 0);
  CHECK(step(bench) == std::vector<RequestId>{1});
}

TEST_CASE("looks: who finds no room waits for an answer to end, and words go on beside it") {
  Bench bench(look_config());
  for (const RequestId id : {1, 2}) {
    Request request = make_request(id, ids(10 * static_cast<int>(id), 2), 2);
    look(request, 1, picture(static_cast<int>(id), 3));
    bench.submit(request);
  }
  CHECK(step(bench) == std::vector<RequestId>{1, 2});  // the second up to its picture
  CHECK(step(bench) == std::vector<RequestId>{1});     // ends
  CHECK(step(bench) == std::vector<RequestId>{2});
  CHECK(step(bench) == std::vector<RequestId>{2});
  CHECK(bench.scheduler.idle());
}

TEST_CASE("looks: an answer whose picture was forgotten has it made again before it goes on") {
  Bench bench(look_config());
  for (const RequestId id : {1, 2}) {
    Request request = make_request(id, ids(10 * static_cast<int>(id), 3), 3);
    look(request, 1, picture(1, 3));
    bench.submit(request);
  }
  const Batch& first = bench.scheduler.plan();
  REQUIRE(first.entries.size() == 2);
  REQUIRE(first.encode.size() == 1);
  StepOutput output = bench.executor.execute(first);
  output.failures.emplace_back(0, Status(StatusCode::kInternal, "injected"));
  bench.scheduler.commit(std::move(output));  // nobody trusts the picture any more
  const Batch& next = bench.scheduler.plan();
  REQUIRE(next.entries.size() == 1);
  CHECK(next.entries[0].sequence == 2);
  CHECK(next.entries[0].start == 3);  // it decodes
  CHECK(next.encode.size() == 1);
}

TEST_CASE("looks: a cached block counts only where the same picture was seen") {
  SchedulerConfig config = look_config();
  config.encoder_cache_tokens = 20;
  Bench bench(config);
  const auto cached = [&](RequestId id, int which, int from) {
    Request request = make_request(id, ids(10, 10), 1);
    if (which > 0) look(request, from, picture(which, 3));
    bench.submit(request);
    while (!step(bench).empty()) {
    }
    return events_of(*request.stream).back().stats.cached_tokens;
  };
  CHECK(cached(1, 1, 5) == 0);
  CHECK(cached(2, 1, 5) == 8);
  CHECK(cached(3, 2, 5) == 4);  // the first block sees no picture
  CHECK(cached(4, 1, 6) == 4);
  CHECK(cached(5, 0, 0) == 4);
}

TEST_CASE("looks: a picture larger than the encoder cache is refused at the door") {
  Request request = make_request(1, ids(10, 5), 3);
  look(request, 1, picture(1, 6));
  CHECK_FALSE(check_request(request, look_config()).ok());
}

}  // namespace
}  // namespace saccade::testing
