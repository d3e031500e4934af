// Guesses of the next tokens: what is planned for them, and what counts of their outcome.
#include <catch2/catch_test_macros.hpp>

#include "engine/core/scheduler.h"
#include "tests/engine/core/fixtures.h"

namespace saccade::testing {
namespace {

using Ids = std::vector<TokenId>;

struct DraftBench {
  explicit DraftBench(SchedulerConfig config = small_config()) : scheduler(std::move(config)) {}

  std::shared_ptr<TokenStream> admit(Request request) {
    auto stream = request.stream;
    scheduler.admit(queued(std::move(request)));
    return stream;
  }
  // Plans a step and commits `tokens` as the outcome of its only entry.
  void step(const Ids& tokens) {
    REQUIRE(scheduler.plan().entries.size() == 1);
    commit(tokens);
  }
  void commit(const Ids& tokens) {
    StepOutput output;
    std::vector<SampledToken>& samples = output.samples.emplace_back();
    for (const TokenId token : tokens) samples.push_back({token, 0, {}});
    scheduler.commit(std::move(output));
  }

  Scheduler scheduler;
};

Request repeating(int max_tokens, int draft_tokens = 4) {
  Request request = make_request(1, {11, 12, 13, 14, 15, 11, 12}, max_tokens);
  request.sampling.draft_tokens = draft_tokens;
  return request;
}

Ids tokens_of(TokenStream& stream) {
  Ids tokens;
  for (const TokenEvent& event : events_of(stream)) {
    if (event.token) tokens.push_back(*event.token);
  }
  return tokens;
}

}  // namespace

TEST_CASE("drafts: what followed the last tokens rides along with the decode") {
  DraftBench bench;
  const auto stream = bench.admit(repeating(10));
  bench.step({13});
  const BatchEntry& entry = bench.scheduler.plan().entries.at(0);
  CHECK(entry.drafts == 2);
  CHECK(entry.start == 7);
  CHECK(entry.length == 3);
  CHECK(entry.samples);
  CHECK(Ids(entry.tokens.begin(), entry.tokens.end()) ==
        Ids{11, 12, 13, 14, 15, 11, 12, 13, 14, 15});
  bench.commit({14, 9});  // the first guess was right
  const BatchEntry& next = bench.scheduler.plan().entries.at(0);
  CHECK(next.start == 9);
  CHECK(next.tokens.size() == 10u + static_cast<size_t>(next.drafts));
  CHECK(next.tokens[9] == 9);
  CHECK(tokens_of(*stream) == Ids{13, 14, 9});
  CHECK(bench.scheduler.stats().draft_tokens == 2);
  CHECK(bench.scheduler.stats().accepted_drafts == 1);
}

TEST_CASE("drafts: none where none are asked for, or where they could not be used") {
  for (const auto& [max_tokens, draft_tokens] : {std::pair{10, 0}, {2, 4}}) {
    DraftBench bench;
    bench.admit(repeating(max_tokens, draft_tokens));
    bench.step({13});
    CHECK(bench.scheduler.plan().entries.at(0).drafts == 0);
  }
}

TEST_CASE("drafts: an answer ends in the middle of right guesses") {
  SchedulerConfig config = small_config();
  config.eos_ids = {14};
  DraftBench bench(config);
  const auto stream = bench.admit(repeating(10));
  bench.step({13});
  bench.step({14, 15, 7});
  CHECK(tokens_of(*stream) == Ids{13, 14});
  CHECK(bench.scheduler.idle());
  CHECK(bench.scheduler.blocks().num_used() == 0);
}

TEST_CASE("drafts: never beyond max_tokens") {
  DraftBench bench;
  const auto stream = bench.admit(repeating(3));
  bench.step({13});
  CHECK(bench.scheduler.plan().entries.at(0).drafts == 1);
  bench.commit({14, 15});
  const std::vector<TokenEvent> events = events_of(*stream);
  CHECK(events.size() == 3);
  CHECK(events.back().finish == FinishReason::kLength);
}

TEST_CASE("drafts: as far as free blocks reach, and nobody is preempted for one") {
  SchedulerConfig config = small_config();
  config.block_size = 4;
  config.num_blocks = 2;  // eight positions: the prompt and its first token
  config.max_model_len = 12;
  config.prefix_caching = false;
  DraftBench bench(config);
  bench.admit(repeating(5));
  bench.step({13});
  CHECK(bench.scheduler.plan().entries.at(0).drafts == 0);
  CHECK(bench.scheduler.stats().preemptions == 0);
}

TEST_CASE("drafts: none reaches beyond the length where keys change") {
  SchedulerConfig config = small_config();
  config.prefix_caching = false;
  config.recompute_beyond = 9;
  DraftBench bench(config);
  bench.admit(repeating(10));
  bench.step({13});  // eight known tokens, two guesses: the second would be the tenth
  CHECK(bench.scheduler.plan().entries.at(0).drafts == 1);
}

TEST_CASE("drafts: a step of many sequences makes none") {
  SchedulerConfig config = small_config();
  config.num_blocks = 400;
  config.max_num_seqs = 40;
  config.max_num_batched_tokens = 400;
  config.prefix_caching = false;
  DraftBench bench(config);
  for (int i = 0; i < 32; ++i) {
    Request request = repeating(10);
    request.id = i + 1;
    bench.admit(std::move(request));
  }
  const size_t admitted = bench.scheduler.plan().entries.size();
  REQUIRE(admitted == 32);
  StepOutput output;
  output.samples.assign(admitted, {SampledToken{13, 0, {}}});
  bench.scheduler.commit(std::move(output));
  for (const BatchEntry& entry : bench.scheduler.plan().entries) CHECK(entry.drafts == 0);
}

TEST_CASE("drafts: more samples than guesses allow end the request") {
  DraftBench bench;
  const auto stream = bench.admit(repeating(10));
  bench.step({13});
  const int drafts = bench.scheduler.plan().entries.at(0).drafts;
  bench.commit(Ids(static_cast<size_t>(drafts) + 2, 14));
  CHECK(events_of(*stream).back().finish == FinishReason::kError);
  CHECK(bench.scheduler.blocks().num_used() == 0);
}

}  // namespace saccade::testing
