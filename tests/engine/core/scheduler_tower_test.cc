// Tower outputs: what of a picture does not depend on the question is made once.
#include <catch2/catch_test_macros.hpp>

#include "tests/engine/core/fixtures.h"

namespace saccade::testing {
namespace {

SchedulerConfig tower_config() {
  SchedulerConfig config = small_config();
  config.num_blocks = 40;
  config.max_num_seqs = 8;
  config.max_num_batched_tokens = 64;
  config.encoder_cache_tokens = 40;
  config.tower_rows = 3;
  config.tower_cache_tokens = 6;
  return config;
}

Request question(RequestId id, const EncoderInput& input) {
  Request request = make_request(id, ids(10 * static_cast<int>(id), 6), 1);
  add_picture(request, 1, input);
  return request;
}

std::vector<Tower> towers(const Batch& batch) {
  std::vector<Tower> result;
  for (const EncodeTask& task : batch.encode) result.push_back(task.tower);
  return result;
}

TEST_CASE("another question about a picture runs the connector alone") {
  Bench bench(tower_config());
  const EncoderInput input = picture(1, 2);
  bench.submit(question(1, asked(input, 1)));
  bench.run();
  bench.submit(question(2, asked(input, 2)));
  bench.run();
  CHECK(bench.executor.encodes == 2);
  CHECK(bench.executor.tower_runs == 1);
  CHECK(bench.scheduler.stats().tower_hits == 1);
  CHECK(bench.scheduler.tower_cache().references() == 0);
}

TEST_CASE("questions about one picture are encoded in one step, four for each tower's place") {
  Bench bench(tower_config());
  const EncoderInput input = picture(1, 2);
  for (RequestId id = 1; id <= 6; ++id)
    bench.submit(question(id, asked(input, static_cast<int>(id))));
  const Batch& first = bench.scheduler.plan();
  CHECK(towers(first) ==
        std::vector{Tower::kKept, Tower::kResident, Tower::kResident, Tower::kResident});
  bench.scheduler.commit(bench.executor.execute(first));
  CHECK(towers(bench.scheduler.plan()) == std::vector{Tower::kResident, Tower::kResident});
}

TEST_CASE("the tower of another picture waits for the next step") {
  Bench bench(tower_config());
  bench.submit(question(1, asked(picture(1, 2), 1)));
  bench.submit(question(2, asked(picture(2, 2), 1)));
  CHECK(towers(bench.scheduler.plan()) == std::vector{Tower::kKept});
}

TEST_CASE("the picture asked about longest ago makes room") {
  Bench bench(tower_config());  // for two pictures
  for (int i = 1; i <= 3; ++i) {
    bench.submit(question(static_cast<RequestId>(i), asked(picture(i, 2), 1)));
    bench.run();
  }
  bench.submit(question(4, asked(picture(1, 2), 2)));
  CHECK(towers(bench.scheduler.plan()) == std::vector{Tower::kKept});
}

TEST_CASE("a tower output that finds no room is not kept") {
  SchedulerConfig config = tower_config();
  config.tower_cache_tokens = 2;
  Bench bench(config);
  bench.submit(question(1, asked(picture(1, 2), 1)));
  CHECK(towers(bench.scheduler.plan()) == std::vector{Tower::kPassing});
}

TEST_CASE("the tower of a picture that could not be encoded is forgotten") {
  Bench bench(tower_config());
  const EncoderInput input = picture(1, 2);
  bench.submit(question(1, asked(input, 1)));
  SECTION("its entry fails") {
    StepOutput output = bench.executor.execute(bench.scheduler.plan());
    output.failures.emplace_back(0, Status(StatusCode::kInternal, "broken"));
    bench.scheduler.commit(std::move(output));
  }
  SECTION("the step fails") {
    bench.scheduler.plan();
    bench.scheduler.fail(Status(StatusCode::kInternal, "broken"));
  }
  bench.submit(question(2, asked(input, 2)));
  const Batch& next = bench.scheduler.plan();
  CHECK(towers(next) == std::vector{Tower::kKept});
  CHECK(next.evict_towers == std::vector{input.media->hash});
  bench.scheduler.commit(bench.executor.execute(next));
  CHECK(bench.scheduler.tower_cache().references() == 0);
}

}  // namespace
}  // namespace saccade::testing
