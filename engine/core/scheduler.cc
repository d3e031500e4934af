// The first half of a step: what to compute. The second half is scheduler_commit.cc.
#include "engine/core/scheduler.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace saccade {
namespace {

// Rows of a step up to which guesses are made: beyond, each row costs its full share of time.
constexpr int kMaxDraftedRows = 32;

// Connectors alone that a step may run in place of one tower and its connector.
constexpr int kConnectorsPerTower = 4;

bool holds_output(const Sequence& sequence, int media) {
  return std::find(sequence.held.begin(), sequence.held.end(), media) != sequence.held.end();
}

const SchedulerConfig& checked(const SchedulerConfig& config) {
  if (config.num_blocks < 1 || config.block_size < 1 || config.max_num_seqs < 1 ||
      config.max_num_batched_tokens < 1 || config.max_model_len < 1 || config.vocab_size < 1 ||
      config.encoder_cache_tokens < 0 ||
      (config.encoder_cache_tokens > 0 && config.max_encode_per_step < 1)) {
    throw std::invalid_argument("scheduler: a size or limit is not positive");
  }
  return config;
}

}  // namespace

Scheduler::Scheduler(SchedulerConfig config)
    : config_(checked(config)),
      blocks_(config_.num_blocks),
      encoder_cache_(config_.encoder_cache_tokens),
      tower_cache_(config_.tower_cache_tokens) {}

void Scheduler::admit(QueuedRequest request) {
  waiting_.push_back(std::make_unique<Sequence>(std::move(request)));
}

const Batch& Scheduler::plan() {
  batch_.evict.clear();
  batch_.evict_towers.clear();
  batch_.encode.clear();
  batch_.entries.clear();
  planned_.clear();
  encode_owners_.clear();
  computing_.clear();
  tokens_left_ = config_.max_num_batched_tokens;
  towers_left_ = config_.max_encode_per_step;
  outputs_blocked_ = false;
  sitting_out_ = nullptr;
  now_ = Clock::now();

  reap_closed();
  send_back_outgrown();
  plan_decodes();
  plan_prefills();
  admit_waiting();
  // Who sits a step out does so for others: there are none. Its block is there already.
  if (batch_.entries.empty() && sitting_out_ != nullptr) add_entry(*sitting_out_, 1);
  if (batch_.entries.empty()) {
    fail_stuck_head();
  } else {
    batch_.evict.assign(evictions_.begin(), evictions_.end());
    batch_.evict_towers.assign(tower_evictions_.begin(), tower_evictions_.end());
  }
  return batch_;
}

void Scheduler::reap_closed() {
  const uint64_t before = stats_.ended();
  const auto reap = [this](const SequencePtr& sequence) {
    if (sequence->closed()) end(*sequence, FinishReason::kCancelled);
  };
  std::for_each(running_.begin(), running_.end(), reap);
  std::for_each(waiting_.begin(), waiting_.end(), reap);
  if (stats_.ended() != before) remove_ended();
}

// Their known tokens are their prompt when they come back, in this step where they fit.
void Scheduler::send_back_outgrown() {
  if (config_.recompute_beyond == 0) return;
  for (size_t i = running_.size(); i-- > 0;) {
    if (running_[i]->outgrown) send_back(i);
  }
}

// One token for every running sequence that has its prompt behind it, oldest first, and guesses
// where they are asked for and a step of few tokens costs hardly more with them. Who has to give
// its blocks away fits again in the same step only where it can now share a twin's: it happens with
// no block free, and somebody older takes one of them. Who looks at a picture that is not there
// (any more) queues for it with the prefills.
void Scheduler::plan_decodes() {
  const auto decodes = static_cast<int>(std::count_if(
      running_.begin(), running_.end(), [](const SequencePtr& s) { return s->decoding(); }));
  const int spare = std::min(kMaxDraftedRows, tokens_left_) - decodes;
  const int drafts = decodes > 0 ? std::max(0, spare / decodes) : 0;  // for each
  for (size_t i = 0; i < running_.size() && tokens_left_ > 0; ++i) {
    Sequence& sequence = *running_[i];
    if (!sequence.decoding()) continue;
    const size_t needed = blocks_for(sequence.length());
    while (sequence.blocks.size() < needed && i < running_.size()) {
      if (const std::optional<int> block = blocks_.allocate()) {
        sequence.blocks.push_back(*block);
      } else {
        preempt_youngest();  // perhaps this one
      }
    }
    if (i == running_.size()) break;
    if (!can_decode(sequence)) continue;
    const auto& constraint = sequence.request.sampling.constraint;
    if (constraint != nullptr && constraint->sits_out()) {
      if (sitting_out_ == nullptr) sitting_out_ = &sequence;
      continue;
    }
    draft(sequence, drafts);
    add_entry(sequence, 1);
  }
}

// One token is left to compute, and what it looks at is there.
bool Scheduler::can_decode(const Sequence& sequence) const {
  if (!sequence.decoding()) return false;
  const std::span<const MediaSpan> ahead = sequence.spans_after(sequence.computed);
  if (ahead.empty() || ahead.front().position > sequence.computed) return true;
  return holds_output(sequence, ahead.front().media);
}

// Up to `most` guesses behind the known tokens, as far as the answer may still go and free blocks
// reach: nobody is preempted for a guess.
void Scheduler::draft(Sequence& sequence, int most) {
  const SamplingParams& sampling = sequence.request.sampling;
  if (sampling.draft_tokens == 0 || sampling.constraint != nullptr) return;
  most = std::min({most, sampling.draft_tokens, sampling.max_tokens - sequence.generated() - 1});
  const int known = sequence.length();
  if (known <= config_.recompute_beyond) most = std::min(most, config_.recompute_beyond - known);
  guesses_.clear();
  look_up_continuation(sequence.tokens, sequence.draft_length.allowed(most), guesses_);
  int end = known + static_cast<int>(guesses_.size());
  while (static_cast<int>(sequence.blocks.size()) < blocks_for(end)) {
    const std::optional<int> block = blocks_.allocate();
    if (!block) end = static_cast<int>(sequence.blocks.size()) * config_.block_size;
    if (block) sequence.blocks.push_back(*block);
  }
  sequence.drafts = end - known;
  sequence.tokens.insert(sequence.tokens.end(), guesses_.begin(),
                         guesses_.begin() + sequence.drafts);
}

void Scheduler::plan_prefills() {
  for (const SequencePtr& sequence : running_) {
    if (tokens_left_ == 0) break;
    if (!can_decode(*sequence)) plan_chunk(*sequence);
  }
}

// First come, first served: nobody overtakes a head that does not fit yet.
void Scheduler::admit_waiting() {
  while (!waiting_.empty() && tokens_left_ > 0 &&
         static_cast<int>(running_.size()) < config_.max_num_seqs) {
    if (!take_blocks(*waiting_.front())) break;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    Sequence& sequence = *running_.back();
    if (!sequence.admitted) {
      sequence.admitted = true;
      sequence.ticket.release();
      sequence.stats.admitted = now_;
      sequence.stats.cached_tokens = sequence.computed;
      stats_.prompt_tokens += sequence.prompt_length;
      if (config_.prefix_caching) stats_.prefix_queried_tokens += sequence.prompt_length;
      stats_.prefix_hit_tokens += sequence.computed;
    }
    plan_chunk(sequence);  // one token, where all but the last was in the prefix cache
  }
}

// Nothing admitted and nothing in flight can move. check_request() and the order of planning rule
// this out; should it happen all the same, the head fails with a reason and the rest goes on.
void Scheduler::fail_stuck_head() {
  if (idle()) return;
  Sequence& head = running_.empty() ? *waiting_.front() : *running_.front();
  end(head, FinishReason::kError,
      Status(StatusCode::kInternal, "the request cannot be scheduled: it needs " +
                                        std::to_string(blocks_for(head.length())) +
                                        " KV blocks, and " + std::to_string(blocks_.num_free()) +
                                        " of " + std::to_string(config_.num_blocks) + " are free"));
  remove_ended();
}

// Blocks for all known tokens: the longest computed prefix from the cache, new ones for the rest.
// At least the last token is left to compute, for its logits. False, holding nothing, when there
// are too few, or when the next missing block is being computed by this very step: one step later
// it can be shared.
bool Scheduler::take_blocks(Sequence& sequence) {
  const int needed = blocks_for(sequence.length());
  const int shareable = config_.prefix_caching ? sequence.cacheable() / config_.block_size : 0;
  sequence.hash_blocks(shareable, config_.block_size, config_.keys);
  int shared = 0;
  for (; shared < shareable; ++shared) {
    const std::optional<int> block = blocks_.find(sequence.hashes[shared]);
    if (!block) break;
    blocks_.share(*block);
    sequence.blocks.push_back(*block);
  }
  const bool wait_for_twin =
      shared < shareable &&
      std::find(computing_.begin(), computing_.end(), sequence.hashes[shared]) != computing_.end();
  if (wait_for_twin || blocks_.num_free() < needed - shared) {
    blocks_.release_all(sequence.blocks);
    sequence.blocks.clear();
    return false;
  }
  while (static_cast<int>(sequence.blocks.size()) < needed) {
    sequence.blocks.push_back(*blocks_.allocate());
  }
  sequence.computed = shared * config_.block_size;
  sequence.published = shared;
  return true;
}

// As many of the sequence's next positions as the token budget and the encoder allow.
void Scheduler::plan_chunk(Sequence& sequence) {
  const int wanted = std::min(sequence.length(), sequence.computed + tokens_left_);
  const int end = hold_outputs(sequence, wanted);
  if (end == sequence.computed) return;
  if (config_.prefix_caching && !waiting_.empty()) {
    const int full = end / config_.block_size;
    sequence.hash_blocks(full, config_.block_size, config_.keys);
    for (int i = sequence.published; i < full; ++i) computing_.push_back(sequence.hashes[i]);
  }
  add_entry(sequence, end - sequence.computed);
}

// References on the encoder outputs that positions [computed, end) hold or look at. Returns where
// the chunk must end: before the first span whose output is neither resident nor made in this step.
int Scheduler::hold_outputs(Sequence& sequence, int end) {
  for (const MediaSpan& span : sequence.spans_after(sequence.computed)) {
    if (span.position >= end) break;
    if (!hold_output(sequence, span.media)) return std::max(span.position, sequence.computed);
  }
  return end;
}

bool Scheduler::hold_output(Sequence& sequence, int media) {
  if (holds_output(sequence, media)) return true;
  if (outputs_blocked_) return false;
  const EncoderInput& input = sequence.request.media[media];
  if (encoder_cache_.acquire(input.key)) {
    ++stats_.encoder_hits;
  } else {
    if (!may_encode(input)) return false;
    if (!encoder_cache_.reserve(input.key, sequence.media_rows[media], &evictions_)) {
      // Held outputs are in the way. Later sequences take no new ones in this step, or a stream of
      // small pictures could keep a large one out for ever.
      outputs_blocked_ = true;
      return false;
    }
    ++stats_.encoder_misses;
    batch_.encode.push_back({&input, hold_tower(input)});
    encode_owners_.push_back(&sequence);
  }
  sequence.held.push_back(media);
  return true;
}

bool Scheduler::may_encode(const EncoderInput& input) const {
  const auto most = static_cast<size_t>(config_.max_encode_per_step) * kConnectorsPerTower;
  if (batch_.encode.size() >= most) return false;
  return towers_left_ > 0 || tower_cache_.contains(input.media->hash);
}

// Held until the step is done, so that nothing the step makes room for pushes it out.
Tower Scheduler::hold_tower(const EncoderInput& input) {
  const ContentHash& picture = input.media->hash;
  if (config_.tower_rows > 0 && tower_cache_.acquire(picture)) {
    ++stats_.tower_hits;
    held_towers_.push_back(picture);
    return Tower::kResident;
  }
  --towers_left_;
  const int rows = config_.tower_rows * input.media->frames;
  if (rows == 0 || !tower_cache_.reserve(picture, rows, &tower_evictions_)) return Tower::kPassing;
  held_towers_.push_back(picture);
  return Tower::kKept;
}

// Positions [computed, computed + length), and the sequence's guesses behind them.
void Scheduler::add_entry(Sequence& sequence, int length) {
  const int end = sequence.computed + length;
  BatchEntry& entry = batch_.entries.emplace_back();
  entry.sequence = sequence.request.id;
  entry.tokens = sequence.tokens;
  entry.prompt_length = sequence.prompt_length;
  entry.start = sequence.computed;
  entry.length = length + sequence.drafts;
  entry.drafts = sequence.drafts;
  entry.block_table = std::span(sequence.blocks).first(blocks_for(end + sequence.drafts));
  entry.spans = sequence.request.spans;
  entry.media = sequence.request.media;
  entry.adapter = sequence.request.adapter;
  entry.sampling = &sequence.request.sampling;
  entry.samples = end == sequence.length() && sequence.wants_answer();
  entry.score_begin = sequence.next_score;
  entry.score_end = std::max(sequence.next_score, std::min(end + 1, sequence.prompt_length));
  entry.pooling = sequence.request.pooling;
  planned_.push_back(&sequence);
  tokens_left_ -= entry.length;
}

// Recompute later: its blocks go, its tokens stay and are its prompt when it comes back. What it
// has published stays published; encoder outputs and cached blocks survive while there is room.
void Scheduler::preempt_youngest() {
  send_back(running_.size() - 1);
  ++stats_.preemptions;
}

void Scheduler::send_back(size_t index) {
  SequencePtr sequence = std::move(running_[index]);
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  give_back(*sequence);
  sequence->outgrown = false;
  waiting_.push_front(std::move(sequence));
}

int Scheduler::blocks_for(int tokens) const {
  return (tokens + config_.block_size - 1) / config_.block_size;
}

EngineStats Scheduler::stats() const {
  EngineStats stats = stats_;
  stats.waiting = static_cast<int>(waiting_.size());
  stats.preempted = static_cast<int>(
      std::find_if(waiting_.begin(), waiting_.end(), [](const auto& s) { return !s->admitted; }) -
      waiting_.begin());  // they are in front
  stats.running = static_cast<int>(running_.size());
  stats.kv_blocks_used = blocks_.num_used();
  stats.kv_blocks_total = blocks_.num_blocks();
  stats.encoder_tokens_used = encoder_cache_.used();
  stats.encoder_tokens_total = encoder_cache_.capacity();
  return stats;
}

}  // namespace saccade
