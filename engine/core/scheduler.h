#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "engine/core/batch.h"
#include "engine/core/block_manager.h"
#include "engine/core/encoder_cache_index.h"
#include "engine/core/engine_stats.h"
#include "engine/core/scheduler_config.h"
#include "engine/core/sequence.h"

namespace saccade {

// Decides what each step computes, and what its outcome means. Policy alone: no threads, no torch,
// no clock but for time stamps. Engine thread only.
//
// One step is plan(), the executor's work, then commit() or fail().
//   waiting --(blocks for all known tokens)--> running --(end, failure, closed stream)--> gone
//      ^---------(preempted: blocks ran out)------'
// `waiting_` and `running_` are in order of arrival; a preempted sequence goes to the front.
class Scheduler {
 public:
  // Throws std::invalid_argument for a size that is not positive.
  explicit Scheduler(SchedulerConfig config);

  // Takes a request that passed check_request().
  void admit(QueuedRequest request);

  // Reaps closed streams, then fills the next batch. Empty when nothing is left to do, or when the
  // head of the queue had to be failed because it can never run. Valid until the next call.
  const Batch& plan();

  // What the executor made of the last plan().
  void commit(StepOutput output);

  // The executor threw: every request of the last plan() ends with `reason`.
  void fail(const Status& reason);

  // Ends everything with kCancelled.
  void cancel_all();

  bool idle() const { return waiting_.empty() && running_.empty(); }

  // Counters and gauges; the step durations are the engine's to fill in.
  EngineStats stats() const;

  const BlockManager& blocks() const { return blocks_; }
  const EncoderCacheIndex& encoder_cache() const { return encoder_cache_; }
  const EncoderCacheIndex& tower_cache() const { return tower_cache_; }

 private:
  using SequencePtr = std::unique_ptr<Sequence>;

  // plan()
  void reap_closed();
  void send_back_outgrown();
  void plan_decodes();
  bool can_decode(const Sequence& sequence) const;
  void draft(Sequence& sequence, int most);
  void plan_prefills();
  void admit_waiting();
  void fail_stuck_head();
  bool take_blocks(Sequence& sequence);
  void plan_chunk(Sequence& sequence);
  int hold_outputs(Sequence& sequence, int end);
  bool hold_output(Sequence& sequence, int media);
  bool may_encode(const EncoderInput& input) const;
  Tower hold_tower(const EncoderInput& input);
  void add_entry(Sequence& sequence, int length);
  void preempt_youngest();
  void send_back(size_t index);
  int blocks_for(int tokens) const;

  // commit()
  void record_encodes(const StepOutput& output);
  void fail_entry(const BatchEntry& entry, Sequence& sequence, const Status& reason);
  void advance(Sequence& sequence, const BatchEntry& entry, std::vector<SampledToken>& samples,
               EntryDetails& details);
  Status check_samples(const Sequence& sequence, const BatchEntry& entry,
                       std::span<const SampledToken> samples) const;
  bool take_details(Sequence& sequence, const BatchEntry& entry, EntryDetails& details);
  void end_unanswered(Sequence& sequence);
  void append(Sequence& sequence, std::span<SampledToken> samples);
  void learn_drafts(Sequence& sequence, int drafted, int accepted);
  FinishReason finish_reason(const Sequence& sequence, TokenId token) const;
  void publish_blocks(Sequence& sequence);
  void release_passed_outputs(Sequence& sequence);
  void release_towers();
  void forget(const EncodeTask& task);
  void give_back(Sequence& sequence);
  void end(Sequence& sequence, FinishReason finish, Status error = {});
  void end(Sequence& sequence, TokenEvent last);
  void remove_ended();

  const SchedulerConfig config_;
  BlockManager blocks_;
  EncoderCacheIndex encoder_cache_;
  EncoderCacheIndex tower_cache_;  // by MediaItem::hash
  std::deque<SequencePtr> waiting_;
  std::vector<SequencePtr> running_;
  EngineStats stats_;

  // Encoder outputs the executor has to drop, until a step that says so has succeeded.
  std::vector<ContentHash> evictions_;
  std::vector<ContentHash> tower_evictions_;  // tower outputs, likewise

  // The step being planned; kept between steps for their memory.
  Batch batch_;
  std::vector<Sequence*> planned_;        // [entries]
  std::vector<Sequence*> encode_owners_;  // [encode] the sequence an item is encoded for
  std::vector<ContentHash> held_towers_;  // pictures whose tower outputs the step uses
  int towers_left_ = 0;                   // tower runs the step may hold
  std::vector<ContentHash> computing_;    // full prompt blocks this step computes
  std::vector<TokenId> guesses_;          // of one sequence
  int tokens_left_ = 0;
  Sequence* sitting_out_ = nullptr;  // the first whose constraint sits this step out
  bool outputs_blocked_ = false;  // someone waits for room in the encoder cache: nobody overtakes
  TimePoint now_{};
};

}  // namespace saccade
