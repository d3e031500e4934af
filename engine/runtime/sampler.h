#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/batch.h"
#include "engine/runtime/token_distribution.h"

namespace saccade {

// Chooses the next token of one sequence.
//  logits   [vocab] float32, raw; left as they are
//  tokens   all known tokens, of which the first `prompt_length` are prompt
//  eos_ids  the model's own end ids (masked while min_tokens is not reached)
// Deterministic: the random number is a function of the seed and the answer's length alone, so that
// the batch around it, chunking and preemption change nothing.
class Sampler {
 public:
  explicit Sampler(std::vector<TokenId> eos_ids) : eos_ids_(std::move(eos_ids)) {}

  // Throws ConstraintError where params.rules and what else masks tokens leave none.
  SampledToken sample(std::span<const float> logits, std::span<const TokenId> tokens,
                      int prompt_length, const SamplingParams& params);

  // Whether the next token is simply the best of the raw logits, and nothing else is asked for.
  bool takes_best(std::span<const TokenId> tokens, int prompt_length,
                  const SamplingParams& params) const;
  // Throws where the logit of the chosen token is none.
  static void check_finite(float logit);

  // How likely `token` is by raw `logits` [vocab], with the `count` best tokens.
  static PromptLogprob score(std::span<const float> logits, TokenId token, int count);

 private:
  bool adjusts(const SamplingParams& params, int generated) const;
  void adjust(std::span<const TokenId> tokens, int prompt_length, const SamplingParams& params);
  void mask_rules(const TokenRules& rules, std::span<const TokenId> answer);
  void mask_constraint(const SamplingParams& params);
  void mask_ends(const SamplingParams& params);
  void mask_all_but(std::span<const uint32_t> allowed);
  bool any_left() const;

  std::vector<TokenId> eos_ids_;
  // Scratch, reused from call to call.
  std::vector<float> adjusted_;  // [vocab]
  std::vector<uint32_t> mask_;   // [ceil(vocab / 32)]
  TokenDistribution distribution_;
};

}  // namespace saccade
