#include "tests/engine/core/fake_executor.h"

#include <algorithm>
#include <set>

namespace saccade::testing {
namespace {

constexpr uint64_t kGarbage = 0xdeadbeefdeadbeef;

uint64_t mix(uint64_t state, uint64_t value) {
  uint64_t x = state * 0x9e3779b97f4a7c15 + value + 0x632be59bd9b4e019;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

bool contains(const std::vector<TokenId>& ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// The sampler: end ids are masked while fewer than min_tokens exist.
TokenId choose(uint64_t state, const SamplingParams& sampling, int generated,
               const SchedulerConfig& config) {
  uint64_t draw = mix(mix(state, sampling.seed), generated);
  for (;; draw = mix(draw, 1)) {
    const auto token = static_cast<TokenId>(draw % config.vocab_size);
    const bool ends = (!sampling.ignore_eos && contains(config.eos_ids, token)) ||
                      contains(sampling.stop_ids, token);
    if (generated >= sampling.min_tokens || !ends) return token;
  }
}

void require(bool holds, const std::string& what) {
  if (!holds) throw Violation(what);
}

int rows_of(const EncoderInput& input) { return input.media->height; }

bool splices(const BatchEntry& entry, const ContentHash& key) {
  return std::any_of(entry.spans.begin(), entry.spans.end(), [&](const MediaSpan& span) {
    return span.position < entry.start + entry.length &&
           span.position + span.length > entry.start && entry.media[span.media].key == key;
  });
}

}  // namespace

std::vector<uint64_t> digests(std::span<const TokenId> tokens, std::span<const MediaSpan> spans,
                              std::span<const EncoderInput> media, int count, const KeyRules& rules,
                              int prompt_length) {
  std::vector<uint64_t> result(count);
  uint64_t state = rules.media_changes_text && !media.empty() ? 1 : 0;
  size_t span = 0;
  for (int i = 0; i < count; ++i) {
    state = mix(state, tokens[i]);
    if (i >= prompt_length && rules.answer_shift != 0) state = mix(state, 1);
    while (span < spans.size() && spans[span].position + spans[span].length <= i) ++span;
    if (span < spans.size() && spans[span].position <= i) {
      const ContentHash& key = media[spans[span].media].key;
      // All rows of a picture that is looked at, one of a picture that stands there.
      const int row = spans[span].looks() ? -1 : spans[span].offset + i - spans[span].position;
      state = mix(mix(state, std::hash<ContentHash>()(key)), static_cast<uint64_t>(row));
    }
    result[i] = state;
  }
  return result;
}

Answer solo_run(const Request& original, const SchedulerConfig& config) {
  Answer answer;
  Request request = original;
  const auto prompt_length = static_cast<int>(request.prompt.size());
  // What the last token of the prompt looks at, the answer's tokens look at.
  for (MediaSpan& span : request.spans) {
    if (span.looks() && span.position + span.length == prompt_length) span.length = 1 << 20;
  }
  std::vector<TokenId> tokens = request.prompt;
  const SamplingParams& sampling = request.sampling;
  if (sampling.max_tokens == 0) answer.finish = FinishReason::kLength;
  if (sampling.prompt_logprobs) {
    const int length = static_cast<int>(tokens.size());
    const std::vector<uint64_t> states =
        digests(tokens, request.spans, request.media, length, config.keys, prompt_length);
    for (int i = sampling.prompt_logprobs_from; i < length; ++i) {
      answer.prompt_logprobs.push_back(fake_logprob(states[i - 1], tokens[i]));
    }
  }
  while (answer.finish == FinishReason::kNone) {
    const int generated = static_cast<int>(answer.tokens.size());
    const uint64_t state = digests(tokens, request.spans, request.media,
                                   static_cast<int>(tokens.size()), config.keys, prompt_length)
                               .back();
    const TokenId token = choose(state, sampling, generated, config);
    tokens.push_back(token);
    answer.tokens.push_back(token);
    const bool ends = (!sampling.ignore_eos && contains(config.eos_ids, token)) ||
                      contains(sampling.stop_ids, token);
    if (ends && generated >= sampling.min_tokens) {
      answer.finish = FinishReason::kStop;
    } else if (generated + 1 == sampling.max_tokens) {
      answer.finish = FinishReason::kLength;
    }
  }
  return answer;
}

FakeExecutor::FakeExecutor(SchedulerConfig config, Faults faults)
    : config_(std::move(config)),
      faults_(faults),
      random_(faults.seed),
      memory_(static_cast<size_t>(config_.num_blocks) * config_.block_size, kGarbage) {}

bool FakeExecutor::happens(int per_mille) {
  return per_mille > 0 && static_cast<int>(random_() % 1000) < per_mille;
}

StepOutput FakeExecutor::execute(const Batch& batch) try {
  if (on_execute) on_execute(batch);
  ++steps;
  check_budgets(batch);
  if (happens(faults_.throws)) {
    // The outputs it was to drop are still there, those it was to make are not to be trusted.
    for (const EncodeTask& task : batch.encode) {
      resident_.erase(task.input->key);
      towers_.erase(task.input->media->hash);
    }
    for (const BatchEntry& entry : batch.entries) spoil(entry);
    throw std::runtime_error("injected");
  }
  apply_encoder(batch);
  for (const BatchEntry& entry : batch.entries) check_entry(entry);
  for (const BatchEntry& entry : batch.entries) compute(entry);

  StepOutput output;
  output.samples.resize(batch.entries.size());
  output.encode_seconds.assign(batch.encode.size(), 0.001);
  for (const EncodeTask& task : batch.encode) {
    if (!happens(faults_.encode_failures)) continue;
    output.encode_failures.push_back("injected");
    resident_.erase(task.input->key);
    towers_.erase(task.input->media->hash);
    for (size_t i = 0; i < batch.entries.size(); ++i) {
      if (!splices(batch.entries[i], task.input->key)) continue;
      spoil(batch.entries[i]);
      output.failures.emplace_back(i, invalid_argument("the picture cannot be encoded"));
    }
  }
  output.details.resize(batch.entries.size());
  for (size_t i = 0; i < batch.entries.size(); ++i) {
    const BatchEntry& entry = batch.entries[i];
    describe_prompt(entry, output.details[i]);
    if (happens(faults_.entry_failures)) {
      spoil(entry);
      output.failures.emplace_back(i, Status(StatusCode::kInternal, "injected"));
    }
    if (!entry.samples) continue;
    output.samples[i] = sample(entry);
  }
  return output;
} catch (const Violation& broken) {
  if (violation.empty()) violation = broken.what();
  throw;
}

// The next token is a function of the last cell read from memory; behind a guess that was right, of
// the guess's own cell.
std::vector<SampledToken> FakeExecutor::sample(const BatchEntry& entry) const {
  std::vector<SampledToken> samples;
  for (int known = static_cast<int>(entry.tokens.size()) - entry.drafts;; ++known) {
    const int last = known - 1;
    const uint64_t state =
        memory_[entry.block_table[last / config_.block_size] * config_.block_size +
                last % config_.block_size];
    samples.push_back(
        {choose(state, *entry.sampling, known - entry.prompt_length, config_), 0, {}});
    if (known == static_cast<int>(entry.tokens.size())) return samples;
    if (samples.back().token != entry.tokens[known]) return samples;
  }
}

void FakeExecutor::check_budgets(const Batch& batch) const {
  require(!batch.entries.empty(), "a batch without entries");
  require(batch.num_tokens() <= config_.max_num_batched_tokens, "token budget exceeded");
  require(static_cast<int>(batch.entries.size()) <= config_.max_num_seqs, "too many sequences");
  const auto towers = std::count_if(batch.encode.begin(), batch.encode.end(), [](const auto& task) {
    return task.tower != Tower::kResident;
  });
  require(towers <= config_.max_encode_per_step, "encoder budget exceeded");
  require(static_cast<int>(batch.encode.size()) <= 4 * config_.max_encode_per_step,
          "connector budget exceeded");
  std::set<RequestId> seen;
  std::set<int> written;
  for (const BatchEntry& entry : batch.entries) {
    require(seen.insert(entry.sequence).second, "a sequence is twice in a batch");
    const int end = entry.start + entry.length;
    for (int i = entry.start / config_.block_size; i * config_.block_size < end; ++i) {
      require(written.insert(entry.block_table[i]).second, "two sequences write one block");
    }
  }
  // A block that is written is read by nobody else.
  for (const BatchEntry& entry : batch.entries) {
    for (int i = 0; i < entry.start / config_.block_size; ++i) {
      require(!written.contains(entry.block_table[i]), "a shared block is written");
    }
  }
}

void FakeExecutor::apply_encoder(const Batch& batch) {
  for (const ContentHash& key : batch.evict) resident_.erase(key);
  for (const ContentHash& picture : batch.evict_towers) towers_.erase(picture);
  for (const EncodeTask& task : batch.encode) {
    require(!resident_.contains(task.input->key), "a resident output is made again");
    require(std::any_of(batch.entries.begin(), batch.entries.end(),
                        [&](const auto& entry) { return splices(entry, task.input->key); }),
            "an output is made that nobody splices in this step");
    resident_[task.input->key] = rows_of(*task.input);
    apply_tower(task);
    ++encodes;
  }
  int rows = 0;
  for (const auto& [key, count] : resident_) rows += count;
  require(rows <= config_.encoder_cache_tokens, "the encoder cache is over its capacity");
  rows = 0;
  for (const auto& [picture, count] : towers_) rows += count;
  require(rows <= config_.tower_cache_tokens, "the tower cache is over its capacity");
}

void FakeExecutor::apply_tower(const EncodeTask& task) {
  const ContentHash& picture = task.input->media->hash;
  const bool resident = towers_.contains(picture);
  require(resident == (task.tower == Tower::kResident),
          "a tower output is not where it is said to be");
  if (resident) return;
  ++tower_runs;
  if (task.tower == Tower::kKept) towers_[picture] = config_.tower_rows * task.input->media->frames;
}

void FakeExecutor::check_entry(const BatchEntry& entry) const {
  const int known = static_cast<int>(entry.tokens.size());
  const int end = entry.start + entry.length;
  const int bs = config_.block_size;
  require(entry.length >= 1 && entry.start >= 0 && end <= known, "a chunk out of range");
  require(entry.samples == (end == known && entry.sampling->max_tokens > 0),
          "samples at the wrong position");
  if (entry.score_begin < entry.score_end) {
    require(entry.score_begin > entry.start && entry.score_end <= end + 1 &&
                entry.score_end <= entry.prompt_length,
            "a log-probability is asked for whose hidden state the step does not compute");
  }
  require(entry.pooling != Pooling::kMean || entry.start == pooled_to(entry),
          "a position that is pooled is not computed, or computed twice");
  require(static_cast<int>(entry.block_table.size()) == (end + bs - 1) / bs,
          "a block table of the wrong size");
  std::set<int> table(entry.block_table.begin(), entry.block_table.end());
  require(table.size() == entry.block_table.size(), "a block is twice in one table");
  require(*table.begin() >= 0 && *table.rbegin() < config_.num_blocks, "a block out of range");
  const std::vector<uint64_t> expected = digests(entry.tokens, entry.spans, entry.media,
                                                 entry.start, config_.keys, entry.prompt_length);
  for (int i = 0; i < entry.start; ++i) {
    require(memory_[entry.block_table[i / bs] * bs + i % bs] == expected[i],
            "position " + std::to_string(i) + " of request " + std::to_string(entry.sequence) +
                " holds something else");
  }
  for (const MediaSpan& span : entry.spans) {
    if (span.position >= end || span.position + span.length <= entry.start) continue;
    const auto found = resident_.find(entry.media[span.media].key);
    require(found != resident_.end(), "an output is spliced that is not resident");
    require(span.end_row() <= found->second, "rows beyond the output");
  }
}

void FakeExecutor::compute(const BatchEntry& entry) {
  const int end = entry.start + entry.length;
  const std::vector<uint64_t> content =
      digests(entry.tokens, entry.spans, entry.media, end, config_.keys, entry.prompt_length);
  for (int i = entry.start; i < end; ++i) {
    memory_[entry.block_table[i / config_.block_size] * config_.block_size +
            i % config_.block_size] = content[i];
  }
  tokens += entry.length;
}

// A digest's stand-ins: the "log-probability" of a token is what memory says of the position before
// it, the "hidden state" counts positions.
void FakeExecutor::describe_prompt(const BatchEntry& entry, EntryDetails& details) {
  for (int i = entry.score_begin; i < entry.score_end; ++i) {
    PromptLogprob score;
    score.token = {entry.tokens[i], fake_logprob(cell(entry, i - 1), entry.tokens[i])};
    score.rank = 1;
    details.scores.push_back(score);
  }
  if (entry.pooling == Pooling::kNone) return;
  const int end = entry.start + entry.length;
  details.pooled = {entry.pooling == Pooling::kMean ? static_cast<float>(entry.length) : 1.0f,
                    fake_logprob(cell(entry, end - 1), 0)};
  pooled_[entry.sequence] = end;
}

int FakeExecutor::pooled_to(const BatchEntry& entry) const {
  const auto found = pooled_.find(entry.sequence);
  // Preempted: it starts anew.
  return found == pooled_.end() || entry.start == 0 ? 0 : found->second;
}

uint64_t FakeExecutor::cell(const BatchEntry& entry, int position) const {
  return memory_[entry.block_table[position / config_.block_size] * config_.block_size +
                 position % config_.block_size];
}

float fake_logprob(uint64_t state, TokenId token) {
  return -static_cast<float>(mix(state, static_cast<uint64_t>(token)) % 1000);
}

void FakeExecutor::spoil(const BatchEntry& entry) {
  for (int i = entry.start; i < entry.start + entry.length; ++i) {
    memory_[entry.block_table[i / config_.block_size] * config_.block_size +
            i % config_.block_size] = kGarbage;
  }
}

}  // namespace saccade::testing
