#include "engine/runtime/torch_executor.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "engine/core/constraint_error.h"
#include "engine/core/grid_positions.h"
#include "engine/layers/device_kernels.h"
#include "engine/layers/kernel_type.h"
#include "engine/layers/step_profile.h"

namespace saccade {
namespace {

bool failed(const StepOutput& output, size_t entry) {
  return std::any_of(output.failures.begin(), output.failures.end(),
                     [&](const auto& failure) { return failure.first == static_cast<int>(entry); });
}

// In float32; counted as the head's work.
at::Tensor on_host(const at::Tensor& logits) {
  const ProfileScope scope(KernelClass::kHead);
  return download(logits);
}

// Every entry computes its last known token, which is a word, and wants the next one alone.
bool decodes_only(const Batch& batch) {
  return std::all_of(batch.entries.begin(), batch.entries.end(), [](const BatchEntry& entry) {
    const bool at_media =
        std::any_of(entry.spans.begin(), entry.spans.end(), [&](const MediaSpan& span) {
          return span.looks() ||
                 (span.position <= entry.start && entry.start < span.position + span.length);
        });
    return entry.length == 1 && entry.samples && entry.drafts == 0 && entry.adapter == 0 &&
           entry.score_end <= entry.score_begin && entry.pooling == Pooling::kNone && !at_media;
  });
}

}  // namespace

TorchExecutor::TorchExecutor(std::unique_ptr<VisionLanguageModel> model, Options options)
    : model_(std::move(model)),
      options_(std::move(options)),
      cache_(make_kv_cache(model_->cache_shape(), options_.num_blocks, options_.block_size,
                           options_.cache_dtype, options_.placement.device)),
      graphs_(*model_, cache_, options_.max_graph_rows),
      sampler_(options_.eos_ids) {}

StepOutput TorchExecutor::execute(const Batch& batch) {
  const c10::InferenceMode guard;
  if (!thread_ready_) {
    // The number of OpenMP threads belongs to the calling thread, which is the engine's.
    if (options_.num_threads > 0) at::set_num_threads(options_.num_threads);
    thread_ready_ = true;
  }
  StepOutput output;
  output.samples.resize(batch.entries.size());
  EncoderOutputs::Report encoded = encoded_.update(batch, *model_);
  output.encode_seconds = std::move(encoded.seconds);
  output.encode_failures = std::move(encoded.failures);
  if (batch.entries.empty()) return output;

  AttentionInput input = layout(batch);
  const std::vector<int32_t> ids = token_ids(batch);
  if (decodes_only(batch)) {
    if (const at::Tensor logits = graphs_.run(ids, input); logits.defined()) {
      std::vector<size_t> all(batch.entries.size());
      std::iota(all.begin(), all.end(), size_t{0});
      choose(batch, logits, all, output);
      return output;
    }
  }
  input.device = upload_layout(ids, input, options_.placement.device);
  const bool on_device = input.device.ids.defined();
  at::Tensor h = model_->embed(on_device ? input.device.ids : at::tensor(ids, at::kInt));
  splice(batch, h, input, output);
  h = model_->forward(std::move(h), input, cache_);
  sample(batch, h, output);
  describe_prompts(batch, h, output);
  return output;
}

AttentionInput TorchExecutor::layout(const Batch& batch) const {
  AttentionInput input;
  input.block_size = options_.block_size;
  const int total = batch.num_tokens();
  input.slots.reserve(total);
  input.positions.reserve(total);
  for (const BatchEntry& entry : batch.entries) {
    const auto first_row = static_cast<int32_t>(input.slots.size());
    // Behind a guess each row is a decode of its own, so that it is computed bit for bit as it
    // would be in a step of its own. All rows are in the cache before any is attended to.
    const int parts = entry.drafts > 0 ? entry.length : 1;
    for (int part = 0; part < parts; ++part) {
      const int rows = entry.length / parts;
      if (entry.adapter > 0) input.adapters.push_back({entry.adapter, first_row + part, rows});
      input.sequences.push_back({first_row + part, rows, entry.start + part + rows,
                                 entry.block_table.data(), entry.start});
    }
    if (!entry.media.empty()) input.with_media.push_back({first_row, entry.length});
    GridPositions places(entry.spans, entry.prompt_length, options_.answer_shift);
    for (int p = entry.start; p < entry.start + entry.length; ++p) {
      const int64_t block = entry.block_table[p / options_.block_size];
      input.slots.push_back(block * options_.block_size + p % options_.block_size);
      const int computed = std::max(p + 1, entry.prompt_length);
      const auto known = static_cast<int64_t>(entry.tokens.size());
      input.positions.push_back({places.at(p), p, computed, known});
    }
  }
  return input;
}

// [num_tokens]; visual positions hold 0, because a placeholder may lie beyond the embedding.
std::vector<int32_t> TorchExecutor::token_ids(const Batch& batch) const {
  std::vector<int32_t> ids(static_cast<size_t>(batch.num_tokens()));
  int32_t* row = ids.data();
  for (const BatchEntry& entry : batch.entries) {
    const auto chunk = entry.tokens.subspan(entry.start, entry.length);
    std::copy(chunk.begin(), chunk.end(), row);
    for (const MediaSpan& span : entry.spans) {
      if (span.looks()) continue;
      const int first = std::max(span.position, entry.start);
      const int last = std::min(span.position + span.length, entry.start + entry.length);
      for (int p = first; p < last; ++p) row[p - entry.start] = 0;
    }
    row += entry.length;
  }
  return ids;
}

// Overwrites the rows of h that belong to visual positions with the encoder's output, and notes
// which rows look at one.
void TorchExecutor::splice(const Batch& batch, at::Tensor& h, AttentionInput& input,
                           StepOutput& output) const {
  int64_t first_row = 0;  // of the entry
  for (size_t i = 0; i < batch.entries.size(); ++i) {
    const BatchEntry& entry = batch.entries[i];
    const bool complete = std::all_of(
        entry.spans.begin(), entry.spans.end(),
        [&](const MediaSpan& span) { return splice_span(entry, span, first_row, h, input); });
    if (!complete) {
      output.failures.emplace_back(
          static_cast<int>(i), Status(StatusCode::kInternal, "the picture could not be encoded"));
    }
    first_row += entry.length;
  }
}

// False: the span reaches into the chunk, and its encoder output is not there.
bool TorchExecutor::splice_span(const BatchEntry& entry, const MediaSpan& span, int64_t first_row,
                                at::Tensor& h, AttentionInput& input) const {
  const int first = std::max(span.position, entry.start);
  const int last = std::min(span.position + span.length, entry.start + entry.length);
  if (first >= last) return true;
  const int64_t count = last - first, row = first_row + first - entry.start;
  const int64_t offset = span.looks() ? 0 : span.offset + first - span.position;
  const at::Tensor* rows = encoded_.find(entry.media[span.media].key);
  const int64_t needed = span.looks() ? span.memory_rows : offset + count;
  if (rows == nullptr || needed > rows->size(0)) return false;
  if (!span.looks()) {
    h.narrow(0, row, count).copy_(rows->narrow(0, offset, count));
    return true;
  }
  // Behind a guess each row is on its own, as in layout().
  const int64_t each = entry.drafts > 0 ? 1 : count;
  for (int64_t r = 0; r < count; r += each) {
    input.memories.push_back({row + r, each, *rows});
  }
  return true;
}

// Rows [n, H] -> logits [n, V].
at::Tensor TorchExecutor::head(const at::Tensor& rows) const {
  const ProfileScope scope(KernelClass::kHead);
  return model_->logits(rows);
}

// What requests want of their prompts' hidden states: log-probabilities and pooled vectors.
void TorchExecutor::describe_prompts(const Batch& batch, const at::Tensor& h, StepOutput& output) {
  const auto wants = [](const BatchEntry& entry) {
    return entry.score_end > entry.score_begin || entry.pooling != Pooling::kNone;
  };
  if (std::none_of(batch.entries.begin(), batch.entries.end(), wants)) return;
  output.details.resize(batch.entries.size());
  int64_t row = 0;
  for (size_t i = 0; i < batch.entries.size(); row += batch.entries[i].length, ++i) {
    const BatchEntry& entry = batch.entries[i];
    if (!wants(entry) || failed(output, i)) continue;
    const at::Tensor rows = h.narrow(0, row, entry.length);  // [length, H]
    EntryDetails& details = output.details[i];
    try {
      details.scores = score(entry, rows);
    } catch (const std::exception& error) {
      output.failures.emplace_back(static_cast<int>(i),
                                   Status(StatusCode::kInternal, error.what()));
      continue;
    }
    if (entry.pooling == Pooling::kNone) continue;
    const at::Tensor pooled = entry.pooling == Pooling::kLast ? rows.select(0, entry.length - 1)
                                                              : rows.sum(0, false, at::kDouble);
    const at::Tensor values = pooled.to(at::kCPU, at::kFloat).contiguous();  // [H]
    const float* first = values.const_data_ptr<float>();
    details.pooled.assign(first, first + values.numel());
    if (std::all_of(details.pooled.begin(), details.pooled.end(),
                    [](float value) { return std::isfinite(value); }))
      continue;
    output.failures.emplace_back(static_cast<int>(i), Status(StatusCode::kInternal, kNotFinite));
  }
}

// `rows` [length, H] are the entry's chunk. The head runs on a few rows at a time: its output is
// the vocabulary wide.
std::vector<PromptLogprob> TorchExecutor::score(const BatchEntry& entry, const at::Tensor& rows) {
  constexpr int kRowsAtATime = 64;
  std::vector<PromptLogprob> scores;
  const int count = entry.sampling->prompt_logprobs.value_or(0);
  for (int first = entry.score_begin; first < entry.score_end; first += kRowsAtATime) {
    const int length = std::min(kRowsAtATime, entry.score_end - first);
    const at::Tensor picked = rows.narrow(0, first - 1 - entry.start, length);
    const at::Tensor logits = on_host(head(picked));
    const auto vocab = static_cast<size_t>(logits.size(1));
    for (int n = 0; n < length; ++n) {
      const std::span<const float> values(
          logits.const_data_ptr<float>() + static_cast<size_t>(n) * vocab, vocab);
      scores.push_back(Sampler::score(values, entry.tokens[first + n], count));
    }
  }
  return scores;
}

// Only the rows that sample go through the head: the last known one of each sequence, and those of
// its guesses.
void TorchExecutor::sample(const Batch& batch, const at::Tensor& h, StepOutput& output) {
  std::vector<int64_t> rows;
  std::vector<size_t> owners;
  int64_t row = 0;
  for (size_t i = 0; i < batch.entries.size(); ++i) {
    const BatchEntry& entry = batch.entries[i];
    row += entry.length;
    if (!entry.samples || failed(output, i)) continue;
    for (int64_t behind = entry.drafts; behind >= 0; --behind) rows.push_back(row - 1 - behind);
    owners.push_back(i);
  }
  if (rows.empty()) return;
  const bool all = static_cast<int64_t>(rows.size()) == h.size(0);
  choose(batch, head(all ? h : h.index_select(0, upload(at::tensor(rows, at::kLong), h.device()))),
         owners, output);
}

// `table` [rows that sample, V]: the logits of the entries `owners`, one behind the other.
void TorchExecutor::choose(const Batch& batch, const at::Tensor& table,
                           const std::vector<size_t>& owners, StepOutput& output) {
  if (take_best(batch, table, owners, output)) return;
  const at::Tensor logits = on_host(table);
  const ProfileScope scope(KernelClass::kSampling);
  int64_t first = 0;
  for (const size_t owner : owners) {
    const int count = batch.entries[owner].drafts + 1;
    try {
      output.samples[owner] = sample_entry(batch.entries[owner], logits.narrow(0, first, count));
    } catch (const ConstraintError& error) {
      output.failures.emplace_back(static_cast<int>(owner), invalid_argument(error.what()));
    } catch (const std::exception& error) {
      output.failures.emplace_back(static_cast<int>(owner),
                                   Status(StatusCode::kInternal, error.what()));
    }
    first += count;
  }
}

// Where no more is asked for than the best of each of `logits` [owners, V], a GPU finds it where
// these are: the vocabulary's width does not cross the bus. False: nothing was done.
bool TorchExecutor::take_best(const Batch& batch, const at::Tensor& logits,
                              const std::vector<size_t>& owners, StepOutput& output) const {
  if (!logits.is_cuda() || !has_kernels(logits)) return false;
  const bool all_plain = std::all_of(owners.begin(), owners.end(), [&](size_t owner) {
    const BatchEntry& entry = batch.entries[owner];
    return entry.drafts == 0 &&
           sampler_.takes_best(entry.tokens, entry.prompt_length, *entry.sampling);
  });
  if (!all_plain) return false;
  const ProfileScope scope(KernelClass::kHead);
  const auto best = device_kernels::best_tokens(logits);
  for (size_t i = 0; i < best.size(); ++i) {
    try {
      Sampler::check_finite(best[i].second);
      output.samples[owners[i]] = {SampledToken{best[i].first, 0, {}}};
    } catch (const std::exception& error) {
      output.failures.emplace_back(static_cast<int>(owners[i]),
                                   Status(StatusCode::kInternal, error.what()));
    }
  }
  return !best.empty();
}

// `logits` [drafts + 1, vocab]. Goes on behind a guess only while the sampled token is the guess.
std::vector<SampledToken> TorchExecutor::sample_entry(const BatchEntry& entry,
                                                      const at::Tensor& logits) {
  const auto vocab = static_cast<size_t>(logits.size(1));
  const float* values = logits.const_data_ptr<float>();
  size_t known = entry.tokens.size() - static_cast<size_t>(entry.drafts);
  std::vector<SampledToken> samples;
  while (true) {
    samples.push_back(sampler_.sample({values, vocab}, entry.tokens.first(known),
                                      entry.prompt_length, *entry.sampling));
    if (known == entry.tokens.size() || samples.back().token != entry.tokens[known]) return samples;
    values += vocab;
    ++known;
  }
}

}  // namespace saccade
