// Random scenarios: whatever arrives, is cancelled or fails, in whatever pools, the rules hold.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <map>
#include <random>
#include <string>

#include "engine/core/request_check.h"
#include "tests/engine/core/fixtures.h"

namespace saccade::testing {
namespace {

// SACCADE_SCENARIOS=N runs N of them, SACCADE_SCENARIO_SEED=S starts at S.
int setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

class Scenario {
 public:
  explicit Scenario(uint64_t seed) : random_(seed), bench_(random_config(), random_faults(seed)) {
    for (int i = 0; i < 3; ++i) pictures_.push_back(picture(i, between(1, 6)));
    for (int i = 0; i < 2; ++i) pictures_.push_back(asked(pictures_[i], between(1, 2)));
    for (int i = 0; i < 2; ++i) shared_.push_back(random_ids(between(0, 24)));
  }

  void run();

  static inline uint64_t accepted_total = 0, preemptions_total = 0, prefix_hits_total = 0,
                         encoder_hits_total = 0, tower_hits_total = 0, refused_total = 0,
                         failed_total = 0, cancelled_total = 0, steps_total = 0,
                         right_guesses_total = 0;

 private:
  struct Client {
    Request request;  // as submitted
    Answer alone;
    int close_at = -1;  // step at which the client leaves
    bool closed = false;
    std::vector<TokenEvent> events;
    bool answered() const { return !events.empty() && events.back().finish != FinishReason::kNone; }
  };

  int between(int low, int high) {
    return low + static_cast<int>(random_() % static_cast<uint64_t>(high - low + 1));
  }
  bool chance(int percent) { return between(1, 100) <= percent; }

  SchedulerConfig random_config();
  static Faults random_faults(uint64_t seed);
  std::vector<TokenId> random_ids(int count);
  Request random_request();
  void splice_pictures(Request& request);
  void look_at_pictures(Request& request);
  void arrive(Request request);
  void follow_up(const Client& client);
  void clients_act();
  void read(Client& client);
  void check_end();

  std::mt19937_64 random_;
  Bench bench_;
  std::vector<EncoderInput> pictures_;
  std::vector<std::vector<TokenId>> shared_;  // beginnings that several prompts have
  std::vector<Client> clients_;
  RequestId next_id_ = 1;
  int step_ = 0;
};

SchedulerConfig Scenario::random_config() {
  SchedulerConfig config;
  config.block_size = between(1, 8);
  config.num_blocks = std::max(2, between(8, chance(70) ? 40 : 100) / config.block_size);
  config.max_num_seqs = between(1, 8);
  config.max_num_batched_tokens = between(1, chance(50) ? 8 : 40);
  config.max_model_len = between(20, 80);
  config.max_encode_per_step = between(1, 2);
  config.encoder_cache_tokens = between(4, 14);
  config.tower_rows = chance(60) ? between(1, 3) : 0;
  config.tower_cache_tokens = between(0, 8);
  config.vocab_size = between(6, 20);
  config.prefix_caching = chance(85);
  if (chance(70)) config.eos_ids = {0};
  config.keys.media_changes_text = chance(30);
  config.keys.answer_shift = chance(30) ? -1 : 0;
  return config;
}

Faults Scenario::random_faults(uint64_t seed) {
  Faults faults;
  faults.seed = seed;
  if (seed % 4 == 0) faults.entry_failures = 20;
  if (seed % 4 == 1) faults.throws = 20;
  if (seed % 8 == 2) faults.encode_failures = 200;
  return faults;
}

std::vector<TokenId> Scenario::random_ids(int count) {
  std::vector<TokenId> result(count);
  for (TokenId& id : result) id = between(2, 5);
  return result;
}

Request Scenario::random_request() {
  std::vector<TokenId> prompt = shared_[between(0, 1)];
  prompt.resize(between(0, static_cast<int>(prompt.size())));
  const std::vector<TokenId> own = random_ids(between(prompt.empty() ? 1 : 0, chance(80) ? 8 : 40));
  prompt.insert(prompt.end(), own.begin(), own.end());
  Request request = make_request(next_id_++, std::move(prompt), between(1, chance(80) ? 8 : 30));
  request.sampling.seed = between(0, 3);
  request.sampling.ignore_eos = chance(20);
  request.sampling.min_tokens = chance(20) ? between(0, 6) : 0;
  if (chance(20)) request.sampling.stop_ids = {3};
  if (chance(50)) request.sampling.draft_tokens = between(1, 6);
  if (chance(50)) {
    chance(40) ? look_at_pictures(request) : splice_pictures(request);
  }
  if (chance(15)) {
    request.sampling.prompt_logprobs = 0;
    request.sampling.prompt_logprobs_from = between(1, 12);
    if (chance(50)) request.sampling.max_tokens = request.sampling.min_tokens = 0;
  } else if (chance(10)) {
    request.pooling = chance(50) ? Pooling::kMean : Pooling::kLast;
    request.sampling.max_tokens = request.sampling.min_tokens = 0;
  }
  return request;
}

// Up to three spans; a picture may be there twice, or in two pieces with text between.
void Scenario::splice_pictures(Request& request) {
  int position = between(0, 6);
  for (int count = between(1, 3); count > 0; --count) {
    const int which = between(0, 4);
    const int rows = pictures_[which].media->height;
    const int cut = chance(30) ? between(1, rows) : rows;
    const int gap = between(0, 3);
    const int size = static_cast<int>(request.prompt.size());
    if (position + rows + gap > size) return;
    const int index = static_cast<int>(request.media.size());
    request.media.push_back(pictures_[which]);
    request.spans.push_back({position, cut, index, 0});
    if (cut < rows) request.spans.push_back({position + cut + gap, rows - cut, index, cut});
    for (const MediaSpan& span : request.spans) {
      std::fill_n(request.prompt.begin() + span.position, span.length, 1);
    }
    position += rows + gap + between(0, 4);
  }
}

// Up to three, each by a run of words; the last often to the end, and so by the answer, too.
void Scenario::look_at_pictures(Request& request) {
  const int size = static_cast<int>(request.prompt.size());
  int position = between(0, 6);
  for (int count = between(1, 3); count > 0 && position < size; --count) {
    const bool to_the_end = count == 1 && chance(70);
    const int length = to_the_end ? size - position : between(1, std::min(6, size - position));
    MediaSpan span{position, length, static_cast<int>(request.media.size()), 0};
    request.media.push_back(pictures_[between(0, 4)]);
    span.memory_rows = request.media.back().media->height;
    request.spans.push_back(span);
    position += length + (chance(30) ? between(1, 3) : 0);
  }
}

void Scenario::arrive(Request request) {
  if (!check_request(request, bench_.config).ok()) {
    ++refused_total;
    return;
  }
  Client client;
  client.request = request;
  client.alone = solo_run(request, bench_.config);
  if (chance(15)) client.close_at = step_ + between(0, 12);
  clients_.push_back(std::move(client));
  bench_.submit(std::move(request));
  ++accepted_total;
}

// The next turn of a conversation: the same pictures, the answer, and something new.
void Scenario::follow_up(const Client& client) {
  Request next = client.request;
  next.id = next_id_++;
  next.stream = std::make_shared<TokenStream>();
  next.prompt.insert(next.prompt.end(), client.alone.tokens.begin(), client.alone.tokens.end());
  const std::vector<TokenId> own = random_ids(between(1, 6));
  next.prompt.insert(next.prompt.end(), own.begin(), own.end());
  arrive(std::move(next));
}

void Scenario::read(Client& client) {
  for (TokenEvent& event : events_of(*client.request.stream)) {
    REQUIRE_FALSE(client.answered());  // nothing comes after the last event
    client.events.push_back(std::move(event));
  }
}

void Scenario::clients_act() {
  const size_t count = clients_.size();
  for (size_t i = 0; i < count; ++i) {
    if (clients_[i].answered()) continue;
    read(clients_[i]);
    if (clients_[i].answered()) {
      if (clients_.size() < 40 && chance(30)) follow_up(Client(clients_[i]));
    } else if (clients_[i].close_at == step_) {
      clients_[i].closed = true;
      clients_[i].request.stream->close();
    }
  }
}

void Scenario::run() {
  int to_come = between(1, 24);
  int work = 200;  // steps this may take at most, see below
  while (to_come > 0 || !bench_.scheduler.idle()) {
    while (to_come > 0 && (bench_.scheduler.idle() || chance(40))) {
      arrive(random_request());
      --to_come;
    }
    clients_act();
    bench_.step();
    ++step_;
    // No starvation: with one token a step and every sequence preempted again and again, the
    // steps stay within a small multiple of the tokens asked for.
    work = 200;
    for (const Client& client : clients_) {
      work += 4 * static_cast<int>(client.request.prompt.size() + client.alone.tokens.size());
    }
    REQUIRE(step_ <= work);
  }
  check_end();
}

// Each position counts once for the mean, the last one's state is there in any case.
void check_pooled(const Request& request, const std::vector<float>& pooled, const KeyRules& rules) {
  if (request.pooling == Pooling::kNone) {
    REQUIRE(pooled.empty());
    return;
  }
  REQUIRE(pooled.size() == 2);
  REQUIRE(pooled[0] == 1.0f);
  if (request.pooling == Pooling::kMean) return;  // made of the chunks' ends, wherever they were
  const int length = static_cast<int>(request.prompt.size());
  const auto states = digests(request.prompt, request.spans, request.media, length, rules, length);
  REQUIRE(pooled[1] == fake_logprob(states.back(), 0));
}

void Scenario::check_end() {
  bench_.scheduler.blocks().check();
  REQUIRE(bench_.scheduler.blocks().num_used() == 0);
  REQUIRE(bench_.scheduler.encoder_cache().references() == 0);
  REQUIRE(bench_.scheduler.tower_cache().references() == 0);
  const EngineStats stats = bench_.scheduler.stats();
  REQUIRE(stats.ended() == clients_.size());
  uint64_t by_reason[5] = {};
  for (Client& client : clients_) {
    read(client);
    const Answer got = answer_of(client.events);
    // What was streamed is what the request gets when it runs alone, or the beginning of it.
    REQUIRE(got.tokens.size() <= client.alone.tokens.size());
    REQUIRE(std::equal(got.tokens.begin(), got.tokens.end(), client.alone.tokens.begin()));
    REQUIRE(got.prompt_logprobs.size() <= client.alone.prompt_logprobs.size());
    REQUIRE(std::equal(got.prompt_logprobs.begin(), got.prompt_logprobs.end(),
                       client.alone.prompt_logprobs.begin()));
    if (client.closed) {
      REQUIRE_FALSE(client.answered());
      ++by_reason[static_cast<int>(FinishReason::kCancelled)];
      continue;
    }
    REQUIRE(client.answered());
    ++by_reason[static_cast<int>(got.finish)];
    if (got.finish == FinishReason::kError) {
      REQUIRE_FALSE(client.events.back().error.ok());
      REQUIRE_FALSE(client.events.back().token);
    } else {
      REQUIRE(got.tokens == client.alone.tokens);
      REQUIRE(got.finish == client.alone.finish);
      REQUIRE(got.prompt_logprobs == client.alone.prompt_logprobs);
      check_pooled(client.request, client.events.back().pooled, bench_.config.keys);
    }
  }
  REQUIRE(stats.ended_stop == by_reason[static_cast<int>(FinishReason::kStop)]);
  REQUIRE(stats.ended_length == by_reason[static_cast<int>(FinishReason::kLength)]);
  REQUIRE(stats.ended_cancelled == by_reason[static_cast<int>(FinishReason::kCancelled)]);
  REQUIRE(stats.ended_error == by_reason[static_cast<int>(FinishReason::kError)]);
  preemptions_total += stats.preemptions;
  prefix_hits_total += stats.prefix_hit_tokens;
  encoder_hits_total += stats.encoder_hits;
  tower_hits_total += stats.tower_hits;
  failed_total += stats.ended_error;
  cancelled_total += stats.ended_cancelled;
  right_guesses_total += stats.accepted_drafts;
  steps_total += static_cast<uint64_t>(step_);
}

TEST_CASE("random scenarios hold the scheduler's invariants") {
  const int count = setting("SACCADE_SCENARIOS", 10000);
  const int first = setting("SACCADE_SCENARIO_SEED", 0);
  for (int i = 0; i < count; ++i) {
    INFO("SACCADE_SCENARIO_SEED=" << first + i << " SACCADE_SCENARIOS=1");
    try {
      Scenario(static_cast<uint64_t>(first + i)).run();
    } catch (const std::exception& error) {
      FAIL(error.what());
    }
  }
  if (count < 10000) return;
  // The scenarios are worth something: they reach what they are there for.
  WARN("accepted " << Scenario::accepted_total << ", refused " << Scenario::refused_total
                   << ", preempted " << Scenario::preemptions_total << ", cancelled "
                   << Scenario::cancelled_total << ", failed " << Scenario::failed_total
                   << ", prefix tokens hit " << Scenario::prefix_hits_total << ", encoder hits "
                   << Scenario::encoder_hits_total << ", tower hits " << Scenario::tower_hits_total
                   << ", steps " << Scenario::steps_total);
  CHECK(Scenario::accepted_total > 40000);
  CHECK(Scenario::right_guesses_total > 400);
  CHECK(Scenario::preemptions_total > 1000);
  CHECK(Scenario::prefix_hits_total > 50000);
  CHECK(Scenario::encoder_hits_total > 1000);
  CHECK(Scenario::tower_hits_total > 1000);
  CHECK(Scenario::cancelled_total > 1000);
  CHECK(Scenario::failed_total > 1000);
}

}  // namespace
}  // namespace saccade::testing
