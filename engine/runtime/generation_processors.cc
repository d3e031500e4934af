#include "engine/runtime/generation_processors.h"

#include <algorithm>
#include <cmath>

namespace saccade {
namespace {

float* logit_of(std::span<float> logits, TokenId id) {
  return id >= 0 && static_cast<size_t>(id) < logits.size() ? &logits[id] : nullptr;
}

void mask(std::span<const TokenId> ids, std::span<float> logits) {
  for (const TokenId id : ids) {
    if (float* const logit = logit_of(logits, id)) *logit = kMasked;
  }
}

// Whether the last of `word` is what its other tokens, at the text's end, speak of. A word longer
// than the text counts for nothing, as in the reference.
bool may_follow(std::span<const TokenId> text, std::span<const TokenId> word) {
  return word.size() == 1 ||
         (word.size() <= text.size() && ends_with(text, word.first(word.size() - 1)));
}

// Masks what would end a run of `size` tokens that stands in `seen` already.
void mask_seen_runs(std::span<const TokenId> seen, std::span<const TokenId> text, int size,
                    std::span<float> logits) {
  const auto before = static_cast<size_t>(size) - 1;
  if (size <= 0 || text.size() < before) return;
  const std::span<const TokenId> end = text.last(before);
  for (size_t at = before; at < seen.size(); ++at) {
    if (std::equal(end.begin(), end.end(), seen.begin() + static_cast<long>(at - before))) {
      mask(seen.subspan(at, 1), logits);
    }
  }
}

void force(std::span<const TokenId> ids, std::span<float> logits) {
  std::fill(logits.begin(), logits.end(), kMasked);
  for (const TokenId id : ids) {
    if (float* const logit = logit_of(logits, id)) *logit = 0;
  }
}

void favour_ends(const GenerationRules& rules, int generated, std::span<const TokenId> eos_ids,
                 std::span<float> logits) {
  const int beyond = generated - rules.decay_start;
  if (rules.decay_factor == 1.0 || beyond <= 0) return;
  constexpr double kMostGain = 1e30;  // keeps logits finite
  const auto gain =
      static_cast<float>(std::min(std::pow(rules.decay_factor, beyond) - 1, kMostGain));
  for (const TokenId id : eos_ids) {
    float* const logit = logit_of(logits, id);
    if (logit != nullptr && *logit != kMasked) *logit += std::abs(*logit) * gain;
  }
}

}  // namespace

bool ends_with(std::span<const TokenId> text, std::span<const TokenId> end) {
  return end.size() <= text.size() && std::equal(end.rbegin(), end.rend(), text.rbegin());
}

void bias_sequences(const GenerationRules& rules, const TextSoFar& text, std::span<float> logits) {
  for (const GenerationRules::Bias& bias : rules.sequence_bias) {
    float* const logit = logit_of(logits, bias.tokens.back());
    if (logit != nullptr && may_follow(text.tokens, bias.tokens)) *logit += bias.bias;
  }
  if (rules.encoder_repetition_penalty == 1.0f) return;
  const auto penalty = static_cast<float>(1.0 / rules.encoder_repetition_penalty);
  std::vector<TokenId> ids(text.prompt().begin(), text.prompt().end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (const TokenId id : ids) {
    float* const logit = logit_of(logits, id);
    if (logit != nullptr) *logit = *logit < 0 ? *logit * penalty : *logit / penalty;
  }
}

void forbid_and_force(const GenerationRules& rules, const TextSoFar& text,
                      std::span<const TokenId> eos_ids, std::span<float> logits) {
  mask_seen_runs(text.tokens, text.tokens, rules.no_repeat_ngram_size, logits);
  mask_seen_runs(text.prompt(), text.tokens, rules.encoder_no_repeat_ngram_size, logits);
  for (const std::vector<TokenId>& word : rules.bad_words) {
    if (may_follow(text.tokens, word)) mask(std::span(word).last(1), logits);
  }
  const int generated = text.generated();
  const auto force_where = [&](bool here, std::span<const TokenId> ids) {
    if (here && !ids.empty() && !text.constrained) force(ids, logits);
  };
  force_where(text.tokens.size() == 1, rules.forced_begin);
  force_where(generated == text.max_tokens - 1, rules.forced_end);
  favour_ends(rules, generated, eos_ids, logits);
  mask(rules.suppressed, logits);
  const bool begins =
      rules.forced_begin.empty() || text.prompt_length > 1 ? generated == 0 : generated == 1;
  if (begins) mask(rules.suppressed_first, logits);
}

}  // namespace saccade
