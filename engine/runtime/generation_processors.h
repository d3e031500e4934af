#pragma once

#include <limits>
#include <span>

#include "engine/core/generation_rules.h"

namespace saccade {

inline constexpr float kMasked = -std::numeric_limits<float>::infinity();  // never chosen

// One sequence before its next token is chosen.
struct TextSoFar {
  std::span<const TokenId> tokens;  // prompt, then answer
  int prompt_length = 0;
  int max_tokens = 0;        // of the answer
  bool constrained = false;  // by the request: then nothing is forced

  int generated() const { return static_cast<int>(tokens.size()) - prompt_length; }
  std::span<const TokenId> prompt() const { return tokens.first(prompt_length); }
};

bool ends_with(std::span<const TokenId> text, std::span<const TokenId> end);

// The processors that the reference runs before repetition_penalty, and those behind it, in its
// order. Ids beyond `logits` [vocab] are passed over.
void bias_sequences(const GenerationRules& rules, const TextSoFar& text, std::span<float> logits);
void forbid_and_force(const GenerationRules& rules, const TextSoFar& text,
                      std::span<const TokenId> eos_ids, std::span<float> logits);

}  // namespace saccade
