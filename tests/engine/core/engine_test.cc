// The engine thread: who may call what from where, and what every way to the end leaves behind.
#include "engine/core/engine.h"

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <condition_variable>
#include <thread>

#include "tests/engine/core/fixtures.h"

namespace saccade::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TimePoint patience() { return Clock::now() + seconds(60); }

// Everything up to the last event.
std::vector<TokenEvent> read_all(TokenStream& stream) {
  std::vector<TokenEvent> events;
  while (auto event = stream.pop_until(patience())) {
    events.push_back(std::move(*event));
    if (events.back().finish != FinishReason::kNone) break;
  }
  return events;
}

// Lets the test hold the engine thread inside execute().
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait_for_arrival() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return arrived_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

SchedulerConfig roomy() {
  SchedulerConfig config = small_config();
  config.num_blocks = 64;
  config.max_num_seqs = 8;
  config.max_num_batched_tokens = 32;
  config.max_model_len = 64;
  return config;
}

struct Running {
  explicit Running(SchedulerConfig scheduler = roomy(), int max_queue = 256, Faults faults = {},
                   std::function<void(const Batch&)> on_execute = nullptr) {
    auto fake = std::make_unique<FakeExecutor>(scheduler, faults);
    fake->on_execute = std::move(on_execute);
    executor = fake.get();
    EngineConfig config;
    config.scheduler = std::move(scheduler);
    config.max_queue = max_queue;
    config.log_error = [this](const std::string& line) { errors.push_back(line); };
    engine = std::make_unique<Engine>(std::move(config), std::move(fake));
  }
  ~Running() {
    engine->stop();
    CHECK(executor->violation.empty());
  }

  std::shared_ptr<TokenStream> submit(Request request) {
    auto stream = request.stream;
    REQUIRE(engine->submit(std::move(request)).ok());
    return stream;
  }

  FakeExecutor* executor = nullptr;
  std::vector<std::string> errors;  // engine thread; read after stop()
  std::unique_ptr<Engine> engine;
};

TEST_CASE("a request runs to its end and the engine sleeps again") {
  Running running;
  for (RequestId id = 1; id <= 3; ++id) {
    const Request request = make_request(id, ids(10, 9), 5);
    auto stream = running.submit(request);
    const Answer answer = answer_of(read_all(*stream));
    CHECK(answer.tokens == solo_run(request, roomy()).tokens);
    CHECK(answer.finish == FinishReason::kLength);
  }
  CHECK(running.engine->drain(patience()));
  const EngineStats stats = running.engine->stats();
  CHECK(stats.ended_length == 3);
  CHECK(stats.waiting == 0);
  CHECK(stats.running == 0);
  CHECK(stats.kv_blocks_used == 0);
  CHECK(stats.kv_blocks_total == 64);
  CHECK(stats.generated_tokens == 15);
  CHECK(stats.steps == stats.step.count());
  CHECK(stats.step.count() == stats.execute.count());
  CHECK(stats.host.sum() <= stats.step.sum());
}

TEST_CASE("many threads submit, read and leave at once") {
  SchedulerConfig config = roomy();
  config.num_blocks = 24;  // preemption takes part
  config.eos_ids = {2};
  Running running(config);
  std::atomic<int> wrong = 0, cancelled = 0, done = 0;
  std::vector<std::thread> clients;
  for (int thread = 0; thread < 6; ++thread) {
    clients.emplace_back([&, thread] {
      for (int i = 0; i < 40; ++i) {
        const RequestId id = thread * 1000 + i + 1;
        Request request = make_request(id, ids(10 + i % 3, 5 + i % 20), 1 + i % 17);
        if (i % 3 == 0) add_picture(request, 1, picture(i % 4, 3));
        const Answer alone = solo_run(request, config);
        auto stream = request.stream;
        if (!running.engine->submit(std::move(request)).ok()) ++wrong;
        if (i % 5 == 4) {
          stream->pop_until(Clock::now() + milliseconds(i % 3));
          stream->close();
          ++cancelled;
          continue;
        }
        const Answer answer = answer_of(read_all(*stream));
        if (answer.tokens != alone.tokens || answer.finish != alone.finish) ++wrong;
        ++done;
      }
    });
  }
  std::thread observer([&] {
    while (done < 100) (void)running.engine->stats();
  });
  for (std::thread& client : clients) client.join();
  observer.join();
  CHECK(wrong == 0);
  CHECK(running.engine->drain(patience()));
  const EngineStats stats = running.engine->stats();
  CHECK(stats.ended() == 240);
  CHECK(stats.ended_error == 0);
  CHECK(stats.kv_blocks_used == 0);
}

TEST_CASE("closing a stream wakes an engine that sleeps on it") {
  // One sequence runs at a time and the first is held; the second waits, is closed, and is gone
  // once the first moves on.
  SchedulerConfig config = roomy();
  config.max_num_seqs = 1;
  Gate gate;
  Running running(config, 256, {}, [&](const Batch&) { gate.pass(); });
  auto first = running.submit(make_request(1, ids(10, 3), 50));
  gate.wait_for_arrival();
  auto second = running.submit(make_request(2, ids(10, 3), 50));
  CHECK(running.engine->stats().waiting == 1);
  second->close();
  first->close();
  gate.open();
  CHECK(running.engine->drain(patience()));
  CHECK(running.engine->stats().ended_cancelled == 2);
  CHECK(running.engine->stats().kv_blocks_used == 0);
  CHECK(running.executor->steps == 1);
}

TEST_CASE("a full queue refuses and takes again; several are taken whole or not at all") {
  SchedulerConfig config = roomy();
  config.max_num_seqs = 1;
  Gate gate;
  Running running(config, 3, {}, [&](const Batch&) { gate.pass(); });
  auto first = running.submit(make_request(1, ids(10, 3), 2));
  gate.wait_for_arrival();  // admitted: its place is free again
  std::vector<Request> pair;
  for (RequestId id : {2, 3}) pair.push_back(make_request(id, ids(10, 3), 2));
  REQUIRE(running.engine->submit_all(pair).ok());
  CHECK(running.engine->submit_all(pair).code() == StatusCode::kResourceExhausted);
  auto fourth = running.submit(make_request(4, ids(10, 3), 2));
  CHECK(running.engine->submit(make_request(5, ids(10, 3), 2)).code() ==
        StatusCode::kResourceExhausted);
  CHECK(running.engine->stats().waiting == 3);
  gate.open();
  CHECK(answer_of(read_all(*fourth)).finish == FinishReason::kLength);
  CHECK(running.engine->submit(make_request(6, ids(10, 3), 2)).ok());
}

TEST_CASE("what can never run is refused at the door, with all its choices") {
  Running running;
  std::vector<Request> requests;
  requests.push_back(make_request(1, ids(10, 3), 2));
  requests.push_back(make_request(2, ids(10, 3), 1000));
  CHECK(running.engine->submit_all(std::move(requests)).code() == StatusCode::kTooLong);
  CHECK(running.engine->stats().waiting == 0);
}

TEST_CASE("a throwing step fails its requests, is logged, and the engine goes on") {
  std::atomic<bool> broken = true;
  Running running(roomy(), 256, {}, [&](const Batch&) {
    if (broken) throw std::runtime_error("0xdeadbeef out of memory");
  });
  auto stream = running.submit(make_request(1, ids(10, 3), 2));
  const std::vector<TokenEvent> events = read_all(*stream);
  REQUIRE(events.size() == 1);
  CHECK(events[0].finish == FinishReason::kError);
  CHECK(events[0].error.code() == StatusCode::kInternal);
  CHECK(events[0].error.message().find("0x") == std::string::npos);  // not for the client
  broken = false;
  auto next = running.submit(make_request(2, ids(10, 3), 2));
  CHECK(answer_of(read_all(*next)).finish == FinishReason::kLength);
  running.engine->stop();
  CHECK(running.errors == std::vector<std::string>{"a step failed: 0xdeadbeef out of memory"});
}

TEST_CASE("why a picture could not be encoded is told to the operator") {
  Faults faults;
  faults.encode_failures = 1000;  // always
  Running running(roomy(), 256, faults);
  Request request = make_request(1, ids(10, 9), 2);
  add_picture(request, 1, picture(1, 3));
  CHECK(answer_of(read_all(*running.submit(std::move(request)))).finish == FinishReason::kError);
  running.engine->stop();
  CHECK(running.errors == std::vector<std::string>{"a picture could not be encoded: injected"});
}

TEST_CASE("something thrown that is no exception fails the batch as well") {
  Running running(roomy(), 256, {}, [](const Batch&) { throw 42; });
  auto stream = running.submit(make_request(1, ids(10, 3), 2));
  CHECK(read_all(*stream).back().finish == FinishReason::kError);
}

TEST_CASE("drain lets the accepted end and refuses the rest") {
  Gate gate;
  Running running(roomy(), 256, {}, [&](const Batch&) { gate.pass(); });
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (RequestId id = 1; id <= 20; ++id) {
    streams.push_back(running.submit(make_request(id, ids(10, 3), 4)));
  }
  CHECK_FALSE(running.engine->drain(Clock::now() + milliseconds(5)));
  CHECK(running.engine->submit(make_request(99, ids(10, 3), 4)).code() == StatusCode::kUnavailable);
  gate.open();
  CHECK(running.engine->drain(patience()));
  for (auto& stream : streams) {
    CHECK(answer_of(events_of(*stream)).finish == FinishReason::kLength);
  }
}

TEST_CASE("stop cancels what waits and runs, after the current step") {
  SchedulerConfig config = roomy();
  config.max_num_seqs = 2;
  Gate gate;
  Running running(config, 256, {}, [&](const Batch&) { gate.pass(); });
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (RequestId id = 1; id <= 5; ++id) {
    streams.push_back(running.submit(make_request(id, ids(10, 3), 40)));
  }
  gate.wait_for_arrival();
  std::thread stopper([&] { running.engine->stop(); });
  // Until stop() has closed the door, the accepted ones are cancelled with the rest.
  for (RequestId id = 6;; ++id) {
    Request request = make_request(id, ids(10, 3), 40);
    auto stream = request.stream;
    const StatusCode code = running.engine->submit(std::move(request)).code();
    if (code == StatusCode::kUnavailable) break;
    if (code == StatusCode::kOk) streams.push_back(stream);
    std::this_thread::yield();
  }
  gate.open();
  stopper.join();
  running.engine->stop();  // again: nothing happens
  for (auto& stream : streams) {
    CHECK(read_all(*stream).back().finish == FinishReason::kCancelled);
  }
  CHECK(running.engine->stats().ended_cancelled == streams.size());
  CHECK(running.engine->stats().kv_blocks_used == 0);
  CHECK(running.engine->submit(make_request(6, ids(10, 3), 4)).code() == StatusCode::kUnavailable);
  CHECK(running.engine->drain(patience()));
}

TEST_CASE("a stream may be closed after the engine is gone") {
  std::shared_ptr<TokenStream> stream;
  {
    Running running;
    stream = running.submit(make_request(1, ids(10, 3), 2));
  }
  CHECK(read_all(*stream).back().finish != FinishReason::kNone);
  stream->close();
  CHECK(stream->closed());
}

TEST_CASE("an engine that is never used stops") {
  Running running;
  CHECK(running.engine->stats().kv_blocks_total == 64);
}

}  // namespace
}  // namespace saccade::testing
