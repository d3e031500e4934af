// What requests may ask of their prompts: log-probabilities and pooled hidden states.
#include <catch2/catch_test_macros.hpp>

#include "engine/core/request_check.h"
#include "tests/engine/core/fixtures.h"

namespace saccade::testing {
namespace {

Request scored(RequestId id, std::vector<TokenId> prompt, int from, int max_tokens) {
  Request request = make_request(id, std::move(prompt), max_tokens);
  request.sampling.prompt_logprobs = 0;
  request.sampling.prompt_logprobs_from = from;
  return request;
}

SchedulerConfig roomy() {
  SchedulerConfig config = small_config();
  config.num_blocks = 20;
  return config;
}

TEST_CASE("a prompt's log-probabilities come in order, whatever its chunks, before the answer") {
  Bench bench(roomy());
  const Request request = scored(1, ids(10, 11), 1, 3);
  const auto stream = bench.submit(request);
  bench.run();
  const std::vector<TokenEvent> events = events_of(*stream);
  const Answer alone = solo_run(request, bench.config);
  CHECK(alone.prompt_logprobs.size() == 10);
  CHECK(answer_of(events).prompt_logprobs == alone.prompt_logprobs);
  CHECK(answer_of(events).tokens == alone.tokens);
  CHECK(events.front().prompt.size() == 8);  // the first chunk's: of positions 1 to 8
  for (const TokenEvent& event : events) CHECK((event.prompt.empty() || !event.token));
}

TEST_CASE("without an answer a request ends with its prompt, without a token") {
  Bench bench(roomy());
  const auto stream = bench.submit(scored(1, ids(10, 11), 9, 0));
  CHECK(bench.run() == 2);
  const std::vector<TokenEvent> events = events_of(*stream);
  REQUIRE(events.size() == 2);
  CHECK(events[0].prompt.size() == 2);  // of positions 9 and 10
  CHECK_FALSE(events[1].token);
  CHECK(events[1].finish == FinishReason::kLength);
  CHECK(bench.scheduler.blocks().num_used() == 0);
}

TEST_CASE("options behind one prompt compute it once, up to its last whole block") {
  Bench bench(roomy());
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int option = 0; option < 3; ++option) {
    std::vector<TokenId> prompt = ids(10, 10);
    prompt.push_back(500 + option);
    streams.push_back(bench.submit(scored(option + 1, prompt, 10, 0)));
  }
  bench.run();
  for (const auto& stream : streams)
    CHECK(answer_of(events_of(*stream)).prompt_logprobs.size() == 1);
  CHECK(bench.executor.tokens == 11 + 3 + 3);  // positions 8 to 10 of the second and third
}

TEST_CASE("what is asked of a position keeps it from the prefix cache") {
  Bench bench(roomy());
  bench.submit(make_request(1, ids(10, 12), 1));
  bench.run();
  const int before = bench.executor.tokens;
  const auto scores = bench.submit(scored(2, ids(10, 12), 6, 0));
  bench.run();
  CHECK(bench.executor.tokens - before == 8);  // position 5 is the first that counts
  CHECK(answer_of(events_of(*scores)).prompt_logprobs.size() == 6);

  Request mean = make_request(3, ids(10, 12), 0);
  mean.pooling = Pooling::kMean;
  const auto stream = bench.submit(mean);
  bench.run();
  CHECK(bench.executor.tokens - before == 20);  // all positions
  CHECK(events_of(*stream).back().pooled.at(0) == 1.0f);

  Request last = make_request(4, ids(10, 12), 0);
  last.pooling = Pooling::kLast;
  bench.submit(last);
  bench.run();
  CHECK(bench.executor.tokens - before == 24);  // the last block's
}

TEST_CASE("only a request that wants its prompt described may go without an answer") {
  CHECK_FALSE(check_request(make_request(1, ids(0, 3), 0), small_config()).ok());
  CHECK(check_request(scored(1, ids(0, 3), 1, 0), small_config()).ok());
  CHECK_FALSE(check_request(scored(1, ids(0, 3), 0, 0), small_config()).ok());
  Request pooled = make_request(1, ids(0, 3), 0);
  pooled.pooling = Pooling::kMean;
  CHECK(check_request(pooled, small_config()).ok());
  pooled.sampling.max_tokens = 1;
  CHECK_FALSE(check_request(pooled, small_config()).ok());
}

}  // namespace
}  // namespace saccade::testing
