// How requests end: end ids, length, cancel, failures of one entry and of a whole step.
#include <catch2/catch_test_macros.hpp>

#include "engine/core/scheduler.h"
#include "tests/engine/core/fixtures.h"

namespace saccade::testing {
namespace {

// A scheduler whose "model" says the given tokens.
struct Script {
  explicit Script(SchedulerConfig config = small_config()) : scheduler(std::move(config)) {}

  std::shared_ptr<TokenStream> submit(Request request) {
    auto stream = request.stream;
    scheduler.admit(queued(std::move(request)));
    return stream;
  }

  // One step in which every sampling entry samples `token`.
  void step(std::optional<TokenId> token) {
    const Batch& batch = scheduler.plan();
    StepOutput output;
    for (const BatchEntry& entry : batch.entries) {
      std::vector<SampledToken>& samples = output.samples.emplace_back();
      if (entry.samples && token) samples.push_back({*token, -0.5f, {{*token, -0.5f}}});
    }
    output.encode_seconds.assign(batch.encode.size(), 0.25);
    scheduler.commit(std::move(output));
  }

  Scheduler scheduler;
};

SchedulerConfig with_eos() {
  SchedulerConfig config = small_config();
  config.eos_ids = {2, 3};
  return config;
}

struct EndCase {
  const char* what;
  std::vector<TokenId> said;
  bool ignore_eos = false;
  std::vector<TokenId> stop_ids = {};
  int min_tokens = 0;
  int max_tokens = 4;
  FinishReason finish = FinishReason::kStop;
};

TEST_CASE("an answer ends where it should") {
  const EndCase cases[] = {
      {"the model's end id", {9, 3}},
      {"at once", {2}},
      {"an end id as the last allowed token", {9, 9, 9, 2}},
      {"length", {9, 9, 9, 9}, false, {}, 0, 4, FinishReason::kLength},
      {"one token", {9}, false, {}, 0, 1, FinishReason::kLength},
      {"end ids ignored", {2, 3, 2, 3}, true, {}, 0, 4, FinishReason::kLength},
      {"the request's own stop id", {9, 7}, false, {7}},
      {"its stop id, end ids ignored", {2, 7}, true, {7}},
      {"an end id after min_tokens", {9, 9, 2}, false, {}, 2},
      {"end ids before min_tokens do not count", {2, 7, 2}, false, {7}, 2},
  };
  for (const EndCase& c : cases) {
    INFO(c.what);
    Script script(with_eos());
    Request request = make_request(1, ids(10, 3), c.max_tokens);
    request.sampling.ignore_eos = c.ignore_eos;
    request.sampling.stop_ids = c.stop_ids;
    request.sampling.min_tokens = c.min_tokens;
    auto stream = script.submit(std::move(request));
    for (const TokenId token : c.said) {
      REQUIRE_FALSE(script.scheduler.idle());
      script.step(token);
    }
    CHECK(script.scheduler.idle());
    const std::vector<TokenEvent> events = events_of(*stream);
    REQUIRE(events.size() == c.said.size());
    for (size_t i = 0; i < events.size(); ++i) {
      CHECK(events[i].token == c.said[i]);  // the stop id's too
      CHECK(events[i].logprob == -0.5f);
      CHECK(events[i].top.size() == 1);
      CHECK(events[i].finish == (i + 1 == events.size() ? c.finish : FinishReason::kNone));
    }
  }
}

TEST_CASE("the last event carries times, cached tokens and encoder seconds") {
  Script script;
  const TimePoint before = Clock::now();
  Request request = make_request(1, ids(10, 6), 2);
  add_picture(request, 1, picture(1, 3));
  auto stream = script.submit(std::move(request));
  script.step(9);
  script.step(9);
  const RequestStats stats = events_of(*stream).back().stats;
  CHECK(stats.admitted >= before);
  CHECK(stats.first_token >= stats.admitted);
  CHECK(stats.first_token <= Clock::now());
  CHECK(stats.encode_seconds == 0.25);
  CHECK(script.scheduler.stats().encode.count() == 1);
}

TEST_CASE("a ticket is given back at admission, or at the end of what was never admitted") {
  RequestQueue queue(8);
  Scheduler scheduler(small_config());
  std::vector<Request> requests;
  for (RequestId id = 1; id <= 4; ++id) requests.push_back(make_request(id, ids(10, 2), 2));
  auto last = requests[3].stream;
  REQUIRE(queue.submit(std::move(requests)).ok());
  std::vector<QueuedRequest> taken;
  queue.drain(taken, false);
  for (QueuedRequest& request : taken) scheduler.admit(std::move(request));
  CHECK(queue.waiting() == 4);
  scheduler.plan();
  CHECK(queue.waiting() == 2);
  last->close();
  scheduler.plan();
  CHECK(queue.waiting() == 1);
  scheduler.cancel_all();
  CHECK(queue.waiting() == 0);
}

TEST_CASE("a closed stream frees everything at the next plan, wherever its request is") {
  SchedulerConfig config = small_config();
  config.max_num_batched_tokens = 4;
  Bench bench(config);
  Request request = make_request(1, ids(10, 9), 4);
  add_picture(request, 2, picture(1, 5));
  auto running = bench.submit(std::move(request));
  auto waiting = bench.submit(make_request(2, ids(30, 9), 2));

  SECTION("waiting") { waiting->close(); }
  SECTION("between encode and the end of the prompt") {
    bench.step();
    CHECK(bench.scheduler.encoder_cache().references() == 1);
    running->close();
  }
  SECTION("while decoding") {
    for (int i = 0; i < 4; ++i) bench.step();
    CHECK_FALSE(events_of(*running).empty());
    running->close();
  }
  SECTION("both") {
    running->close();
    waiting->close();
    bench.step();
    CHECK(bench.scheduler.idle());
  }
  bench.run();
  CHECK(bench.scheduler.blocks().num_used() == 0);
  CHECK(bench.scheduler.encoder_cache().references() == 0);
  CHECK(bench.scheduler.stats().ended() == 2);
  CHECK(bench.scheduler.stats().ended_cancelled >= 1);
  for (auto& stream : {running, waiting}) {
    if (!stream->closed()) CHECK(events_of(*stream).back().finish == FinishReason::kLength);
  }
}

TEST_CASE("a cancelled and a preempted request keep their order of arrival") {
  SchedulerConfig config = small_config();
  config.max_num_batched_tokens = 16;
  Bench bench(config);
  bench.submit(make_request(1, ids(10, 7), 6));
  auto preempted = bench.submit(make_request(2, ids(30, 7), 6));
  for (int i = 0; i < 3; ++i) bench.step();
  REQUIRE(bench.scheduler.stats().preempted == 1);
  preempted->close();
  bench.step();
  CHECK(bench.scheduler.stats().preempted == 0);
  CHECK(bench.scheduler.stats().ended_cancelled == 1);
  bench.run();
}

TEST_CASE("a failed entry ends its request only, and leaves nothing in the caches") {
  SchedulerConfig config = small_config();
  config.num_blocks = 20;
  config.max_num_batched_tokens = 32;
  Scheduler scheduler(config);
  Request bad = make_request(1, ids(10, 9), 2);
  add_picture(bad, 0, picture(1, 4));
  auto bad_stream = bad.stream;
  Request good = make_request(2, ids(30, 9), 1);
  auto good_stream = good.stream;
  scheduler.admit(queued(bad));
  scheduler.admit(queued(good));
  const Batch& batch = scheduler.plan();
  REQUIRE(batch.entries.size() == 2);
  StepOutput output;
  output.samples = {{}, {SampledToken{5, 0, {}}}};
  output.failures = {{0, invalid_argument("broken picture")}, {0, Status()}, {7, Status()}};
  scheduler.commit(std::move(output));

  const std::vector<TokenEvent> events = events_of(*bad_stream);
  REQUIRE(events.size() == 1);
  CHECK(events[0].finish == FinishReason::kError);
  CHECK(events[0].error.message() == "broken picture");
  CHECK(events_of(*good_stream).back().finish == FinishReason::kLength);
  CHECK(scheduler.idle());
  CHECK(scheduler.blocks().num_used() == 0);
  CHECK(scheduler.blocks().num_cached() == 2);  // the good one's
  CHECK_FALSE(scheduler.encoder_cache().contains(bad.media[0].key));

  // The next to need the picture has it encoded anew, after the executor has dropped it.
  bad.id = 3;
  bad.stream = std::make_shared<TokenStream>();
  scheduler.admit(queued(bad));
  const Batch& retry = scheduler.plan();
  CHECK(retry.entries[0].start == 0);
  CHECK(retry.encode.size() == 1);
  CHECK(retry.evict == std::vector{bad.media[0].key});
}

TEST_CASE("a throw ends the batch's requests; those not in it go on") {
  SchedulerConfig config = small_config();
  config.num_blocks = 20;
  Bench bench(config);
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (RequestId id = 1; id <= 3; ++id) {
    Request request = make_request(id, ids(10, 4), 2);
    add_picture(request, 0, picture(1, 3));
    streams.push_back(bench.submit(std::move(request)));
  }
  REQUIRE(bench.scheduler.plan().entries.size() == 2);
  bench.scheduler.fail(Status(StatusCode::kInternal, "out of memory"));
  for (int i : {0, 1}) {
    const std::vector<TokenEvent> events = events_of(*streams[i]);
    REQUIRE(events.size() == 1);
    CHECK(events[0].error.message() == "out of memory");
  }
  CHECK(bench.scheduler.blocks().num_used() == 0);
  CHECK(bench.scheduler.blocks().num_cached() == 0);
  CHECK(bench.scheduler.encoder_cache().used() == 0);
  CHECK(bench.scheduler.stats().failed_steps == 1);
  bench.run();
  CHECK(events_of(*streams[2]).back().finish == FinishReason::kLength);
}

TEST_CASE("evictions are told again after a step that threw") {
  SchedulerConfig config = small_config();
  config.max_num_seqs = 1;
  Bench bench(config);
  const auto submit = [&](RequestId id) {
    Request request = make_request(id, ids(static_cast<int>(10 * id), 6), 1);
    add_picture(request, 0, picture(static_cast<int>(id), 5));
    bench.submit(std::move(request));
  };
  submit(1);
  bench.run();
  submit(2);
  CHECK(bench.scheduler.plan().evict == std::vector{picture(1, 5).key});
  bench.scheduler.fail(Status(StatusCode::kInternal, "x"));
  submit(3);
  const Batch& next = bench.scheduler.plan();
  CHECK(next.evict == std::vector{picture(1, 5).key, picture(2, 5).key});
  bench.scheduler.commit(bench.executor.execute(next));
}

TEST_CASE("an executor that samples nothing, or nonsense, fails the request") {
  for (const std::optional<TokenId> token :
       {std::optional<TokenId>(), std::optional<TokenId>(-1), std::optional<TokenId>(1000)}) {
    Script script;
    auto stream = script.submit(make_request(1, ids(10, 3), 2));
    script.step(token);
    const std::vector<TokenEvent> events = events_of(*stream);
    REQUIRE(events.size() == 1);
    CHECK(events[0].error.code() == StatusCode::kInternal);
    CHECK(script.scheduler.idle());
  }
}

struct Alternating : TokenConstraint {
  void fill_mask(uint32_t*, int) override {}
  bool accept(TokenId token) override {
    if (token == 99) throw 1;
    seen.push_back(token);
    return token != 13;
  }
  std::vector<TokenId> seen;
};

TEST_CASE("a constraint sees every token once and may refuse it") {
  for (const TokenId refused : {13, 99}) {
    Script script;
    auto constraint = std::make_shared<Alternating>();
    Request request = make_request(1, ids(10, 3), 4);
    request.sampling.constraint = constraint;
    auto stream = script.submit(std::move(request));
    for (const TokenId token : {5, 6, refused}) script.step(token);
    CHECK(constraint->seen.size() == (refused == 13 ? 3 : 2));
    const std::vector<TokenEvent> events = events_of(*stream);
    REQUIRE(events.size() == 3);
    CHECK(events[2].finish == FinishReason::kError);
    CHECK_FALSE(events[2].token);
  }
}

struct Sitting : TokenConstraint {
  explicit Sitting(bool sits) : sits_out_now(sits) {}
  void fill_mask(uint32_t*, int) override {}
  bool accept(TokenId) override { return true; }
  bool sits_out() override { return ++asked, sits_out_now; }
  bool sits_out_now;
  int asked = 0;
};

TEST_CASE("who sits a step out is asked in each, and goes when nothing else is left to do") {
  Script script;
  const auto submit = [&](RequestId id, bool sits, int max_tokens) {
    auto constraint = std::make_shared<Sitting>(sits);
    Request request = make_request(id, ids(static_cast<TokenId>(10 * id), 3), max_tokens);
    request.sampling.constraint = constraint;
    return std::pair(constraint, script.submit(std::move(request)));
  };
  const auto [patient, late] = submit(1, true, 6);
  const auto [busy, early] = submit(2, false, 4);
  for (int i = 0; i < 4; ++i) script.step(9);  // the prompts' step asks nobody
  CHECK(patient->asked == 3);
  CHECK(events_of(*early).size() == 4);
  CHECK(events_of(*late).size() == 1);
  for (int i = 0; i < 5; ++i) script.step(9);
  const std::vector<TokenEvent> events = events_of(*late);
  REQUIRE(events.size() == 5);
  CHECK(events.back().finish == FinishReason::kLength);
  CHECK(script.scheduler.idle());
}

TEST_CASE("cancel_all ends waiting and running requests") {
  Bench bench(small_config());
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (RequestId id = 1; id <= 4; ++id) {
    streams.push_back(bench.submit(make_request(id, ids(10, 3), 3)));
  }
  bench.step();
  bench.scheduler.cancel_all();
  CHECK(bench.scheduler.idle());
  CHECK(bench.scheduler.blocks().num_used() == 0);
  for (const auto& stream : streams) {
    CHECK(events_of(*stream).back().finish == FinishReason::kCancelled);
  }
}

}  // namespace
}  // namespace saccade::testing
