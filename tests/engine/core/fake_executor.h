#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/core/model_executor.h"
#include "engine/core/scheduler_config.h"

namespace saccade::testing {

// The scheduler asked for something wrong.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// How often, out of 1000 steps or entries, the fake executor misbehaves.
struct Faults {
  int throws = 0;           // execute() throws after having written garbage
  int entry_failures = 0;   // one entry fails, its chunk is garbage
  int encode_failures = 0;  // an item cannot be encoded, what splices it fails
  uint64_t seed = 0;
};

// A model whose KV memory can be looked into. The cell of a position is a digest of everything the
// model would have seen up to it (tokens, and which row of which picture), so a block that belongs
// to another prefix, or that was never computed, shows at the first step that reads it. The next
// token is a function of the last cell *read from memory*, of the seed and of the answer's length.
class FakeExecutor : public ModelExecutor {
 public:
  explicit FakeExecutor(SchedulerConfig config, Faults faults = {});

  // Throws Violation when the batch breaks a rule; std::runtime_error as an injected fault.
  StepOutput execute(const Batch& batch) override;

  // Called at the start of execute(), for tests that need to meet the engine thread there.
  std::function<void(const Batch&)> on_execute;

  int steps = 0;
  int encodes = 0;
  int tower_runs = 0;
  int tokens = 0;         // positions computed
  std::string violation;  // the first one, for tests whose executor is behind a thread

 private:
  void check_budgets(const Batch& batch) const;
  void apply_encoder(const Batch& batch);
  void apply_tower(const EncodeTask& task);
  void check_entry(const BatchEntry& entry) const;
  void compute(const BatchEntry& entry);
  void describe_prompt(const BatchEntry& entry, EntryDetails& details);
  int pooled_to(const BatchEntry& entry) const;
  uint64_t cell(const BatchEntry& entry, int position) const;
  std::vector<SampledToken> sample(const BatchEntry& entry) const;
  void spoil(const BatchEntry& entry);
  bool happens(int per_mille);

  const SchedulerConfig config_;
  const Faults faults_;
  std::mt19937_64 random_;
  std::vector<uint64_t> memory_;                   // [num_blocks * block_size]
  std::unordered_map<RequestId, int> pooled_;      // positions seen of requests that pool
  std::unordered_map<ContentHash, int> resident_;  // encoder outputs: rows
  std::unordered_map<ContentHash, int> towers_;    // tower outputs by picture: rows
};

// What the model sees of positions [0, count), of which prompt_length are prompt: [count] digests.
std::vector<uint64_t> digests(std::span<const TokenId> tokens, std::span<const MediaSpan> spans,
                              std::span<const EncoderInput> media, int count, const KeyRules& rules,
                              int prompt_length);

// What the fake model says of `token` behind a position whose digest is `state`.
float fake_logprob(uint64_t state, TokenId token);

struct Answer {
  std::vector<TokenId> tokens;
  FinishReason finish = FinishReason::kNone;
  std::vector<float> prompt_logprobs;
};

// The answer to the request when it runs alone, without blocks, chunks or caches.
Answer solo_run(const Request& request, const SchedulerConfig& config);

}  // namespace saccade::testing
