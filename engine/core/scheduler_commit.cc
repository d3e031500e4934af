// The second half of a step: what its outcome means. The first half is scheduler.cc.
#include <algorithm>

#include "engine/core/constraint_error.h"
#include "engine/core/scheduler.h"

namespace saccade {
namespace {

bool contains(const std::vector<TokenId>& ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// A constraint is code of the server's; what it throws is the request's own failure.
Status accept(const SamplingParams& sampling, TokenId token) {
  if (sampling.constraint == nullptr) return {};
  try {
    if (sampling.constraint->accept(token)) return {};
  } catch (const ConstraintError& error) {
    return invalid_argument(error.what());
  } catch (...) {  // told below
  }
  return Status(StatusCode::kInternal, "the model left the required format");
}

}  // namespace

void Scheduler::commit(StepOutput output) {
  now_ = Clock::now();
  evictions_.clear();  // done
  tower_evictions_.clear();
  release_towers();
  ++stats_.steps;
  record_encodes(output);
  for (const auto& [index, reason] : output.failures) {
    if (index < 0 || static_cast<size_t>(index) >= planned_.size()) continue;
    fail_entry(batch_.entries[index], *planned_[index], reason);
  }
  output.samples.resize(planned_.size());
  output.details.resize(planned_.size());
  for (size_t i = 0; i < planned_.size(); ++i) {
    if (planned_[i]->ended) continue;
    advance(*planned_[i], batch_.entries[i], output.samples[i], output.details[i]);
  }
  remove_ended();
}

void Scheduler::fail(const Status& reason) {
  ++stats_.steps;
  ++stats_.failed_steps;
  release_towers();
  for (Sequence* sequence : planned_) end(*sequence, FinishReason::kError, reason);
  for (const EncodeTask& task : batch_.encode) forget(task);
  remove_ended();
}

void Scheduler::cancel_all() {
  const auto cancel = [this](const SequencePtr& sequence) {
    end(*sequence, FinishReason::kCancelled);
  };
  std::for_each(running_.begin(), running_.end(), cancel);
  std::for_each(waiting_.begin(), waiting_.end(), cancel);
  remove_ended();
}

void Scheduler::record_encodes(const StepOutput& output) {
  const size_t count = std::min(output.encode_seconds.size(), encode_owners_.size());
  for (size_t i = 0; i < count; ++i) {
    encode_owners_[i]->stats.encode_seconds += output.encode_seconds[i];
    stats_.encode.observe(output.encode_seconds[i]);
  }
}

// Nothing the failed entry was to produce is trusted: its blocks stay unpublished, and the items
// encoded in this step that it splices are forgotten. Who else splices them encodes them again.
void Scheduler::fail_entry(const BatchEntry& entry, Sequence& sequence, const Status& reason) {
  if (sequence.ended) return;
  end(sequence, FinishReason::kError,
      reason.ok() ? Status(StatusCode::kInternal, "the model failed") : reason);
  for (const MediaSpan& span : entry.spans) {
    if (span.position >= entry.start + entry.length) break;
    if (span.position + span.length <= entry.start) continue;
    const ContentHash& key = entry.media[span.media].key;
    for (const EncodeTask& task : batch_.encode) {
      if (task.input->key == key) forget(task);
    }
  }
}

void Scheduler::advance(Sequence& sequence, const BatchEntry& entry,
                        std::vector<SampledToken>& samples, EntryDetails& details) {
  sequence.tokens.resize(sequence.length());  // a guess that was right comes back as a sample
  sequence.drafts = 0;
  if (!take_details(sequence, entry, details)) return;
  sequence.computed += entry.length - entry.drafts;
  stats_.batched_tokens += entry.length;
  if (entry.samples) {
    if (Status wrong = check_samples(sequence, entry, samples); !wrong.ok()) {
      return end(sequence, FinishReason::kError, std::move(wrong));
    }
    learn_drafts(sequence, entry.drafts, static_cast<int>(samples.size()) - 1);
    return append(sequence, samples);
  }
  publish_blocks(sequence);
  release_passed_outputs(sequence);
  if (!sequence.wants_answer() && sequence.remaining() == 0) end_unanswered(sequence);
}

Status Scheduler::check_samples(const Sequence& sequence, const BatchEntry& entry,
                                std::span<const SampledToken> samples) const {
  const bool valid = !samples.empty() && static_cast<int>(samples.size()) <= entry.drafts + 1 &&
                     std::all_of(samples.begin(), samples.end(), [&](const SampledToken& sample) {
                       return sample.token >= 0 && sample.token < config_.vocab_size;
                     });
  if (!valid) return Status(StatusCode::kInternal, "the model chose no valid token");
  return accept(sequence.request.sampling, samples.front().token);
}

// Publishes the prompt's log-probabilities, adds up what is pooled. False: the sequence has ended.
bool Scheduler::take_details(Sequence& sequence, const BatchEntry& entry, EntryDetails& details) {
  const auto wanted = static_cast<size_t>(entry.score_end - entry.score_begin);
  const bool pools = entry.pooling != Pooling::kNone;
  if (details.scores.size() != wanted || details.pooled.empty() == pools) {
    end(sequence, FinishReason::kError,
        Status(StatusCode::kInternal, "the model gave no log-probabilities or hidden states"));
    return false;
  }
  if (wanted > 0) {
    TokenEvent event;
    event.prompt = std::move(details.scores);
    event.stats = sequence.stats;
    sequence.request.stream->push(std::move(event));
    sequence.next_score = entry.score_end;
  }
  if (pools) {
    if (entry.pooling == Pooling::kLast) sequence.pooled.clear();
    sequence.pooled.resize(details.pooled.size());
    for (size_t i = 0; i < details.pooled.size(); ++i) sequence.pooled[i] += details.pooled[i];
  }
  return true;
}

// The prompt is computed, and that was all.
void Scheduler::end_unanswered(Sequence& sequence) {
  TokenEvent last;
  last.finish = FinishReason::kLength;
  const double count = sequence.request.pooling == Pooling::kMean ? sequence.prompt_length : 1;
  last.pooled.reserve(sequence.pooled.size());
  for (const double sum : sequence.pooled) last.pooled.push_back(static_cast<float>(sum / count));
  sequence.stats.first_token = now_;
  end(sequence, std::move(last));
}

// The first sample is the next token; each one behind it followed a right guess, whose position is
// computed by now.
void Scheduler::append(Sequence& sequence, std::span<SampledToken> samples) {
  if (sequence.generated() == 0) sequence.stats.first_token = now_;
  FinishReason finish = FinishReason::kNone;
  size_t count = 0;
  while (count < samples.size() && finish == FinishReason::kNone) {
    sequence.tokens.push_back(samples[count].token);
    finish = finish_reason(sequence, samples[count].token);
    ++count;
  }
  sequence.computed += static_cast<int>(count) - 1;
  const int limit = config_.recompute_beyond;
  const int before = sequence.length() - static_cast<int>(count);
  sequence.outgrown = limit > 0 && before <= limit && sequence.length() > limit;
  publish_blocks(sequence);
  release_passed_outputs(sequence);
  stats_.generated_tokens += count;
  for (SampledToken& sample : samples.first(count)) {
    TokenEvent event;
    event.token = sample.token;
    event.logprob = sample.logprob;
    event.top = std::move(sample.top);
    if (&sample == &samples[count - 1] && finish != FinishReason::kNone) {
      event.finish = finish;
      return end(sequence, std::move(event));
    }
    event.stats = sequence.stats;
    sequence.request.stream->push(std::move(event));
  }
}

void Scheduler::learn_drafts(Sequence& sequence, int drafted, int accepted) {
  if (drafted == 0) return;
  sequence.draft_length.learn(drafted, accepted);
  sequence.stats.draft_tokens += drafted;
  sequence.stats.accepted_drafts += accepted;
  stats_.draft_tokens += drafted;
  stats_.accepted_drafts += accepted;
}

FinishReason Scheduler::finish_reason(const Sequence& sequence, TokenId token) const {
  const SamplingParams& sampling = sequence.request.sampling;
  // End ids are masked while fewer than min_tokens exist: the first that counts is one later.
  if (sequence.generated() > sampling.min_tokens) {
    if (!sampling.ignore_eos && contains(config_.eos_ids, token)) return FinishReason::kStop;
    if (contains(sampling.stop_ids, token)) return FinishReason::kStop;
  }
  if (sequence.generated() >= sampling.max_tokens) return FinishReason::kLength;
  return FinishReason::kNone;
}

// Full blocks become visible in the prefix cache now that they are computed, the answer's too: the
// next turn of a conversation starts with them.
void Scheduler::publish_blocks(Sequence& sequence) {
  if (!config_.prefix_caching) return;
  const int full = sequence.computed / config_.block_size;
  if (sequence.published >= full) return;
  sequence.hash_blocks(full, config_.block_size, config_.keys);
  for (; sequence.published < full; ++sequence.published) {
    blocks_.publish(sequence.blocks[sequence.published], sequence.hashes[sequence.published]);
  }
}

// Between steps a sequence holds at most the output its next visual position needs. So the oldest
// prefill can always go on: what others hold, they are about to use up.
void Scheduler::release_passed_outputs(Sequence& sequence) {
  if (sequence.held.empty()) return;
  const std::span<const MediaSpan> ahead = sequence.spans_after(sequence.computed);
  const int next = ahead.empty() ? -1 : ahead.front().media;
  std::erase_if(sequence.held, [&](int media) {
    if (media == next) return false;
    encoder_cache_.release(sequence.request.media[media].key);
    return true;
  });
}

void Scheduler::release_towers() {
  for (const ContentHash& picture : held_towers_) tower_cache_.release(picture);
  held_towers_.clear();
}

// What the task was to make is not to be trusted.
void Scheduler::forget(const EncodeTask& task) {
  const ContentHash& key = task.input->key;
  for (const SequencePtr& sequence : running_) {
    std::erase_if(sequence->held, [&](int media) {
      if (sequence->request.media[media].key != key) return false;
      encoder_cache_.release(key);
      return true;
    });
  }
  encoder_cache_.forget(key);
  evictions_.push_back(key);
  if (task.tower == Tower::kPassing) return;
  tower_cache_.forget(task.input->media->hash);
  tower_evictions_.push_back(task.input->media->hash);
}

// All that a sequence holds of the engine: leaving it ready to start anew.
void Scheduler::give_back(Sequence& sequence) {
  blocks_.release_all(sequence.blocks);
  sequence.blocks.clear();
  for (const int media : sequence.held) {
    encoder_cache_.release(sequence.request.media[media].key);
  }
  sequence.held.clear();
  sequence.computed = 0;
  sequence.published = 0;
  sequence.pooled.clear();
}

void Scheduler::end(Sequence& sequence, FinishReason finish, Status error) {
  TokenEvent last;
  last.finish = finish;
  last.error = std::move(error);
  end(sequence, std::move(last));
}

void Scheduler::end(Sequence& sequence, TokenEvent last) {
  switch (last.finish) {
    case FinishReason::kStop:
      ++stats_.ended_stop;
      break;
    case FinishReason::kLength:
      ++stats_.ended_length;
      break;
    case FinishReason::kCancelled:
      ++stats_.ended_cancelled;
      break;
    default:
      ++stats_.ended_error;
      break;
  }
  give_back(sequence);
  sequence.ticket.release();
  sequence.ended = true;
  last.stats = sequence.stats;
  sequence.request.stream->push(std::move(last));
}

void Scheduler::remove_ended() {
  const auto ended = [](const SequencePtr& sequence) { return sequence->ended; };
  std::erase_if(running_, ended);
  std::erase_if(waiting_, ended);
}

}  // namespace saccade
