#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/core/media.h"
#include "engine/core/request.h"
#include "engine/core/status.h"
#include "engine/core/token_stream.h"
#include "engine/core/types.h"

namespace saccade {

// One sequence's share of a step: positions [start, start + length) are computed. All pointers and
// spans belong to the scheduler and stay valid until commit().
struct BatchEntry {
  RequestId sequence = 0;
  std::span<const TokenId> tokens;   // [known tokens] prompt and answer so far; not just the chunk
  int prompt_length = 0;             // tokens of `tokens` that are prompt
  int start = 0;                     // tokens already in the KV cache
  int length = 0;                    // tokens computed in this step, >= 1
  std::span<const int> block_table;  // physical blocks that hold positions [0, start + length)
  std::span<const MediaSpan> spans;  // the whole request's
  std::span<const EncoderInput> media;  // the whole request's
  int adapter = 0;                      // the request's
  const SamplingParams* sampling = nullptr;
  bool samples = false;  // the chunk ends at the last known token: sample the next
  // The last of `tokens` are guesses (prompt_lookup.h): each position before one of them samples,
  // too, and as long as the guess was right the position behind it counts.
  int drafts = 0;
  // Log-probabilities of the known tokens at [score_begin, score_end) are wanted. The hidden state
  // before each (position - 1) is in the chunk.
  int score_begin = 0;
  int score_end = 0;
  Pooling pooling = Pooling::kNone;
};

// What becomes of the vision tower's output, which depends on the picture alone, where the model's
// connector reads an instruction, too.
enum class Tower {
  kPassing,   // it is not kept
  kKept,      // it is made and kept under the picture's hash until evicted
  kResident,  // it is there, or an earlier task of the step makes it
};

// One item the encoder runs on in this step. Its rows stay in the encoder cache until evicted.
struct EncodeTask {
  const EncoderInput* input = nullptr;
  Tower tower = Tower::kPassing;
};

// What the engine computes in one step: a ragged batch, never padded.
struct Batch {
  std::vector<ContentHash> evict;  // encoder outputs to drop, first; unknown ones are ignored
  std::vector<ContentHash> evict_towers;  // pictures whose tower outputs to drop, likewise
  std::vector<EncodeTask> encode;  // encoder outputs to make (again), before the decoder runs
  // Decodes first, then prefill chunks. A chunk may be one token long, too.
  std::vector<BatchEntry> entries;
  int num_tokens() const {
    int total = 0;
    for (const BatchEntry& entry : entries) total += entry.length;
    return total;
  }
  bool empty() const {
    return entries.empty() && encode.empty() && evict.empty() && evict_towers.empty();
  }
};

struct SampledToken {
  TokenId token = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top;
};

// What the step has made of one entry besides its next token.
struct EntryDetails {
  std::vector<PromptLogprob> scores;  // [score_end - score_begin]
  // [hidden] the sum over the chunk's rows (kMean), or its last row (kLast).
  std::vector<float> pooled;
};

struct StepOutput {
  // [entries] in the batch's order; none where the entry does not sample or has failed. With
  // drafts: a token for every right guess, and one more behind the last of them.
  std::vector<std::vector<SampledToken>> samples;
  // [entries], or empty when no entry asks for scores or pooling.
  std::vector<EntryDetails> details;
  // Failures of single requests (by index into entries); the rest of the batch goes on. When an
  // item cannot be encoded, every entry that splices it fails; the scheduler then forgets the item.
  std::vector<std::pair<int, Status>> failures;
  std::vector<double> encode_seconds;        // [encode] time per encoded item
  std::vector<std::string> encode_failures;  // for the log: why an item could not be encoded
};

}  // namespace saccade
