// Batching, admission, caching and preemption, one rule per case. scheduler_end_test.cc has how
// requests end.
#include "engine/core/scheduler.h"

#include <catch2/catch_test_macros.hpp>

#include "tests/engine/core/fixtures.h"

namespace saccade::testing {
namespace {

// start and length of each entry, by request.
struct Chunk {
  RequestId id;
  int start;
  int length;
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

std::ostream& operator<<(std::ostream& out, const Chunk& c) {
  return out << "{" << c.id << ", " << c.start << ", " << c.length << "}";
}

std::vector<Chunk> chunks(const Batch& batch) {
  std::vector<Chunk> result;
  for (const BatchEntry& e : batch.entries) result.push_back({e.sequence, e.start, e.length});
  return result;
}

// Plans, runs and commits one step; its chunks.
std::vector<Chunk> step(Bench& bench) {
  const Batch& batch = bench.scheduler.plan();
  const std::vector<Chunk> planned = chunks(batch);
  if (!batch.empty()) bench.scheduler.commit(bench.executor.execute(batch));
  bench.scheduler.blocks().check();
  return planned;
}

using Chunks = std::vector<Chunk>;

TEST_CASE("sizes that are not positive are refused") {
  for (int SchedulerConfig::*field :
       {&SchedulerConfig::num_blocks, &SchedulerConfig::block_size, &SchedulerConfig::max_num_seqs,
        &SchedulerConfig::max_num_batched_tokens, &SchedulerConfig::max_model_len,
        &SchedulerConfig::vocab_size, &SchedulerConfig::max_encode_per_step}) {
    SchedulerConfig config = small_config();
    config.*field = 0;
    CHECK_THROWS_AS(Scheduler(config), std::invalid_argument);
  }
  SchedulerConfig text_only = small_config();
  text_only.encoder_cache_tokens = text_only.max_encode_per_step = 0;
  CHECK_NOTHROW(Scheduler(text_only));
}

TEST_CASE("a prompt is computed in chunks of the token budget, then token by token") {
  Bench bench(small_config());
  bench.submit(make_request(1, ids(10, 11), 3));
  CHECK(step(bench) == Chunks{{1, 0, 8}});
  CHECK(step(bench) == Chunks{{1, 8, 3}});
  CHECK(step(bench) == Chunks{{1, 11, 1}});
  CHECK(step(bench) == Chunks{{1, 12, 1}});
  CHECK(bench.scheduler.idle());
  CHECK_FALSE(bench.step());
}

TEST_CASE("decodes come first, the rest of the budget goes to prompts in order of arrival") {
  SchedulerConfig config = small_config();
  config.num_blocks = 20;
  config.max_num_seqs = 3;
  Bench bench(config);
  bench.submit(make_request(1, ids(10, 4), 8));
  CHECK(step(bench) == Chunks{{1, 0, 4}});
  bench.submit(make_request(2, ids(30, 9), 2));
  bench.submit(make_request(3, ids(50, 5), 2));
  CHECK(step(bench) == Chunks{{1, 4, 1}, {2, 0, 7}});
  CHECK(step(bench) == Chunks{{1, 5, 1}, {2, 7, 2}, {3, 0, 5}});
  CHECK(step(bench) == Chunks{{1, 6, 1}, {2, 9, 1}, {3, 5, 1}});
}

TEST_CASE("a sequence that outgrows its keys is computed anew, once") {
  SchedulerConfig config = small_config();
  config.prefix_caching = false;
  config.recompute_beyond = 6;
  config.max_num_batched_tokens = 6;  // of seven known tokens one is left, as in a decode
  Bench bench(config);
  bench.submit(make_request(1, ids(10, 5), 5));
  CHECK(step(bench) == Chunks{{1, 0, 5}});
  CHECK(step(bench) == Chunks{{1, 5, 1}});
  CHECK(step(bench) == Chunks{{1, 0, 6}});
  CHECK(step(bench) == Chunks{{1, 6, 1}});
  CHECK(step(bench) == Chunks{{1, 7, 1}});
  CHECK(step(bench) == Chunks{{1, 8, 1}});
  CHECK(bench.scheduler.idle());
  CHECK(bench.scheduler.stats().preemptions == 0);
}

TEST_CASE("outgrown sequences come back in order, before those that wait") {
  SchedulerConfig config = small_config();
  config.prefix_caching = false;
  config.recompute_beyond = 4;
  config.num_blocks = 40;
  config.max_num_seqs = 2;
  config.max_num_batched_tokens = 40;
  Bench bench(config);
  for (int id = 1; id <= 3; ++id) bench.submit(make_request(id, ids(10 * id, 4), 3));
  CHECK(step(bench) == Chunks{{1, 0, 4}, {2, 0, 4}});
  CHECK(step(bench) == Chunks{{1, 0, 5}, {2, 0, 5}});
  CHECK(step(bench) == Chunks{{1, 5, 1}, {2, 5, 1}});
  CHECK(step(bench) == Chunks{{3, 0, 4}});
}

TEST_CASE("a prompt that is longer from the start is computed once") {
  SchedulerConfig config = small_config();
  config.prefix_caching = false;
  config.recompute_beyond = 4;
  Bench bench(config);
  bench.submit(make_request(1, ids(10, 5), 3));
  CHECK(step(bench) == Chunks{{1, 0, 5}});
  CHECK(step(bench) == Chunks{{1, 5, 1}});
  CHECK(step(bench) == Chunks{{1, 6, 1}});
}

TEST_CASE("a batch shows the executor the whole sequence") {
  Bench bench(small_config());
  Request request = make_request(7, ids(10, 9), 2);
  add_picture(request, 2, picture(1, 3));
  bench.submit(request);
  const Batch& batch = bench.scheduler.plan();
  REQUIRE(batch.entries.size() == 1);
  const BatchEntry& entry = batch.entries[0];
  CHECK(std::vector(entry.tokens.begin(), entry.tokens.end()) == request.prompt);
  CHECK(entry.prompt_length == 9);
  CHECK(entry.block_table.size() == 2);  // of the chunk's 8 positions
  CHECK(entry.spans.size() == 1);
  CHECK(entry.media[0].key == request.media[0].key);
  CHECK(entry.sampling->max_tokens == 2);
  CHECK_FALSE(entry.samples);
  REQUIRE(batch.encode.size() == 1);
  CHECK(batch.encode[0].input->key == request.media[0].key);
  bench.scheduler.commit(bench.executor.execute(batch));
  CHECK(bench.scheduler.plan().entries[0].samples);
}

TEST_CASE("no more sequences run than allowed") {
  SchedulerConfig config = small_config();
  config.num_blocks = 20;
  Bench bench(config);
  for (RequestId id = 1; id <= 3; ++id) bench.submit(make_request(id, ids(10, 2), 2));
  CHECK(step(bench) == Chunks{{1, 0, 2}, {2, 0, 2}});
  CHECK(bench.scheduler.stats().waiting == 1);
  CHECK(step(bench) == Chunks{{1, 2, 1}, {2, 2, 1}});
  CHECK(step(bench) == Chunks{{3, 0, 2}});
}

TEST_CASE("a request waits until the blocks for its whole prompt are free; nobody overtakes it") {
  SchedulerConfig config = small_config();
  config.max_num_seqs = 4;
  Bench bench(config);
  bench.submit(make_request(1, ids(10, 8), 2));   // two blocks, three at the end
  bench.submit(make_request(2, ids(30, 10), 2));  // three blocks
  bench.submit(make_request(3, ids(50, 1), 1));   // would fit at once
  CHECK(step(bench) == Chunks{{1, 0, 8}});
  CHECK(step(bench) == Chunks{{1, 8, 1}});
  CHECK(step(bench) == Chunks{{2, 0, 8}});
  CHECK(step(bench) == Chunks{{2, 8, 2}, {3, 0, 1}});
}

TEST_CASE("a computed prefix is not computed again, but for at least one token") {
  SchedulerConfig config = small_config();
  config.max_model_len = 64;
  config.num_blocks = 16;
  Bench bench(config);
  auto first = bench.submit(make_request(1, ids(10, 8), 1));
  bench.run();
  CHECK(events_of(*first).back().stats.cached_tokens == 0);
  // Two full blocks match; the second holds the last token, so it is computed anew.
  auto same = bench.submit(make_request(2, ids(10, 8), 1));
  CHECK(step(bench) == Chunks{{2, 4, 4}});
  CHECK(events_of(*same).back().stats.cached_tokens == 4);
  auto longer = bench.submit(make_request(3, ids(10, 9), 1));
  CHECK(step(bench) == Chunks{{3, 8, 1}});
  CHECK(events_of(*longer).back().stats.cached_tokens == 8);
  const EngineStats stats = bench.scheduler.stats();
  CHECK(stats.prefix_queried_tokens == 25);
  CHECK(stats.prefix_hit_tokens == 12);
}

TEST_CASE("a prefix is shared with requests of the same salt alone") {
  SchedulerConfig config = small_config();
  config.max_model_len = 64;
  config.num_blocks = 32;
  Bench bench(config);
  RequestId id = 0;
  const auto cached = [&](const std::string& salt) {
    Request request = make_request(++id, ids(10, 9), 1);
    request.cache_salt = salt;
    auto stream = bench.submit(request);
    bench.run();
    return events_of(*stream).back().stats.cached_tokens;
  };
  CHECK(cached("") == 0);
  CHECK(cached("alice") == 0);
  CHECK(cached("bob") == 0);
  CHECK(cached("") == 8);
  CHECK(cached("alice") == 8);
  CHECK(cached("bob") == 8);
}

TEST_CASE("the answer's blocks serve the next turn") {
  SchedulerConfig config = small_config();
  config.max_model_len = 64;
  config.num_blocks = 16;
  Bench bench(config);
  auto stream = bench.submit(make_request(1, ids(10, 6), 7));
  bench.run();
  std::vector<TokenId> next = ids(10, 6);
  for (const TokenId token : answer_of(events_of(*stream)).tokens) next.push_back(token);
  REQUIRE(next.size() == 13);
  next.push_back(77);
  bench.submit(make_request(2, next, 1));
  CHECK(step(bench) == Chunks{{2, 12, 2}});  // the 13th was sampled, never computed
}

TEST_CASE("without prefix caching everything is computed") {
  SchedulerConfig config = small_config();
  config.prefix_caching = false;
  Bench bench(config);
  bench.submit(make_request(1, ids(10, 8), 1));
  bench.run();
  bench.submit(make_request(2, ids(10, 8), 1));
  CHECK(step(bench) == Chunks{{2, 0, 8}});
  CHECK(bench.scheduler.stats().prefix_queried_tokens == 0);
}

TEST_CASE("choices of one prompt wait one step for the first to compute it") {
  SchedulerConfig config = small_config();
  config.num_blocks = 20;
  config.max_num_seqs = 4;
  config.max_num_batched_tokens = 30;
  Bench bench(config);
  for (RequestId id = 1; id <= 3; ++id) bench.submit(make_request(id, ids(10, 9), 3));
  CHECK(step(bench) == Chunks{{1, 0, 9}});
  CHECK(step(bench) == Chunks{{1, 9, 1}, {2, 8, 1}, {3, 8, 1}});
}

TEST_CASE("a twin that is too short to share does not wait") {
  SchedulerConfig config = small_config();
  config.num_blocks = 20;
  config.max_num_batched_tokens = 30;
  Bench bench(config);
  bench.submit(make_request(1, ids(10, 4), 3));
  bench.submit(make_request(2, ids(10, 4), 3));  // its only block holds the last token
  CHECK(step(bench) == Chunks{{1, 0, 4}, {2, 0, 4}});
  bench.run();
}

TEST_CASE("a prefix with another picture is not shared") {
  SchedulerConfig config = small_config();
  config.num_blocks = 20;
  Bench bench(config);
  for (int name = 1; name <= 2; ++name) {
    Request request = make_request(name, ids(10, 9), 1);
    add_picture(request, 2, picture(name, 4));
    bench.submit(request);
    bench.run();
  }
  CHECK(bench.scheduler.stats().prefix_hit_tokens == 0);
  CHECK(bench.executor.encodes == 2);
  Request again = make_request(3, ids(10, 9), 1);
  add_picture(again, 2, picture(1, 4));
  bench.submit(again);
  CHECK(step(bench) == Chunks{{3, 8, 1}});
  CHECK(bench.executor.encodes == 2);  // its picture lies in cached blocks
}

TEST_CASE("a picture whose prefix is cached in part is encoded once more only if evicted") {
  SchedulerConfig config = small_config();
  config.num_blocks = 20;
  Bench bench(config);
  Request request = make_request(1, ids(10, 9), 1);
  add_picture(request, 2, picture(1, 6));  // rows 0-1 in the first block, 2-5 in the second
  bench.submit(request);
  bench.run();
  Request shorter = make_request(2, request.prompt, 1);
  shorter.prompt.resize(8);
  shorter.media = request.media;
  shorter.spans = request.spans;
  bench.submit(shorter);
  CHECK(step(bench) == Chunks{{2, 4, 4}});
  CHECK(bench.executor.encodes == 1);
  CHECK(bench.scheduler.stats().encoder_hits == 1);
}

TEST_CASE("the youngest gives its blocks when they run out, and comes back first") {
  SchedulerConfig config = small_config();
  config.max_num_batched_tokens = 16;
  Bench bench(config);
  auto older = bench.submit(make_request(1, ids(10, 7), 6));    // two blocks, later three
  auto younger = bench.submit(make_request(2, ids(30, 7), 6));  // the same
  bench.submit(make_request(3, ids(50, 2), 2));
  CHECK(step(bench) == Chunks{{1, 0, 7}, {2, 0, 7}});
  CHECK(step(bench) == Chunks{{1, 7, 1}, {2, 7, 1}});
  CHECK(step(bench) == Chunks{{1, 8, 1}});  // nobody takes what was freed in the same step
  CHECK(bench.scheduler.stats().preemptions == 1);
  CHECK(bench.scheduler.stats().preempted == 1);
  Chunks planned;
  while (bench.scheduler.stats().preempted == 1) planned = step(bench);
  // Back before the third, which waited all along, once the older is done; of its blocks the first
  // is still cached.
  CHECK(answer_of(events_of(*older)).finish == FinishReason::kLength);
  CHECK(planned == Chunks{{2, 4, 5}, {3, 0, 2}});
  bench.run();
  const Answer answer = answer_of(events_of(*younger));
  CHECK(answer.tokens == solo_run(make_request(2, ids(30, 7), 6), config).tokens);
  CHECK(bench.scheduler.stats().generated_tokens == 14);  // nothing is published twice
}

TEST_CASE("cached_tokens tells of the first admission, not of a preempted one's return") {
  SchedulerConfig config = small_config();
  config.max_num_batched_tokens = 16;
  Bench bench(config);
  bench.submit(make_request(1, ids(10, 7), 6));
  auto younger = bench.submit(make_request(2, ids(30, 7), 6));
  bench.run();
  CHECK(bench.scheduler.stats().preemptions > 0);
  CHECK(events_of(*younger).back().stats.cached_tokens == 0);
  CHECK(bench.scheduler.stats().prompt_tokens == 14);
}

TEST_CASE("a chunk ends before a picture that cannot be encoded in this step") {
  SchedulerConfig config = small_config();
  config.num_blocks = 20;
  config.max_model_len = 40;
  config.max_num_batched_tokens = 16;
  Bench bench(config);
  Request request = make_request(1, ids(10, 14), 1);
  add_picture(request, 1, picture(1, 3));
  add_picture(request, 6, picture(2, 3));
  bench.submit(request);
  CHECK(step(bench) == Chunks{{1, 0, 6}});  // one item per step
  CHECK(step(bench) == Chunks{{1, 6, 8}});
  CHECK(bench.executor.encodes == 2);
}

TEST_CASE("a picture is not encoded before a chunk reaches it") {
  SchedulerConfig config = small_config();
  Bench bench(config);
  Request request = make_request(1, ids(10, 13), 1);
  add_picture(request, 8, picture(1, 4));
  bench.submit(request);
  step(bench);
  CHECK(bench.executor.encodes == 0);
  step(bench);
  CHECK(bench.executor.encodes == 1);
}

TEST_CASE("an output is held until its last row is used, then others may have its room") {
  SchedulerConfig config = small_config();
  config.num_blocks = 20;
  config.max_num_batched_tokens = 5;
  Bench bench(config);
  Request first = make_request(1, ids(10, 9), 6);
  add_picture(first, 0, picture(1, 8));
  bench.submit(std::move(first));
  CHECK(step(bench) == Chunks{{1, 0, 5}});
  CHECK(bench.scheduler.encoder_cache().references() == 1);
  CHECK(step(bench) == Chunks{{1, 5, 4}});
  CHECK(bench.scheduler.encoder_cache().references() == 0);
  Request second = make_request(2, ids(30, 9), 1);
  add_picture(second, 0, picture(2, 8));
  bench.submit(std::move(second));
  CHECK(step(bench) == Chunks{{1, 9, 1}, {2, 0, 4}});  // while the first still answers
  bench.run();
}

// Every step but the first starts and ends inside a small picture, so that one of them is always
// held; the large one needs the whole cache.
TEST_CASE("a large picture is not kept out by a stream of small ones") {
  SchedulerConfig config = small_config();
  config.num_blocks = 100;
  config.max_num_seqs = 4;
  config.max_num_batched_tokens = 6;
  config.max_encode_per_step = 4;
  Bench bench(config);
  const auto submit = [&](RequestId id, int prompt, int position, int rows) {
    Request request = make_request(id, ids(static_cast<int>(10 * id), prompt), 1);
    add_picture(request, position, picture(static_cast<int>(id), rows));
    bench.submit(std::move(request));
  };
  submit(1, 9, 4, 4);
  submit(2, 8, 0, 8);
  for (RequestId id = 3; id < 30; ++id) submit(id, 6, 0, 4);
  CHECK(step(bench) == Chunks{{1, 0, 6}});
  CHECK(step(bench) == Chunks{{1, 6, 3}});  // the large one waits, the small ones behind it too
  CHECK(step(bench) == Chunks{{2, 0, 6}});
  bench.run();
}

TEST_CASE("what can never run fails with a reason, and the rest goes on") {
  Bench bench(small_config());
  auto impossible = bench.submit(make_request(1, ids(10, 30), 1));  // past the door, 4 blocks of 4
  auto fine = bench.submit(make_request(2, ids(10, 3), 1));
  bench.run(5);
  const std::vector<TokenEvent> events = events_of(*impossible);
  REQUIRE(events.size() == 1);
  CHECK(events[0].finish == FinishReason::kError);
  CHECK(events[0].error.message() ==
        "the request cannot be scheduled: it needs 8 KV blocks, and 4 of 4 are free");
  CHECK(events_of(*fine).back().finish == FinishReason::kLength);
}

}  // namespace
}  // namespace saccade::testing
