#include "engine/runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <unordered_map>

#include "engine/core/constraint_error.h"
#include "engine/kernels/sampling.h"
#include "engine/runtime/generation_processors.h"

namespace saccade {
namespace {

// SplitMix64 (Steele et al. 2014): one well-mixed 64-bit word for each (seed, step).
double uniform(uint64_t seed, uint64_t step) {
  uint64_t z = seed + 0x9E3779B97F4A7C15ull * (step + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1.0p-53;  // [0, 1)
}

// The `count` best tokens of the raw logits, best first; ties by the smaller id.
std::vector<TokenLogprob> best_tokens(std::span<const float> logits, int count, float norm) {
  std::vector<int64_t> ids(count);
  std::vector<float> values(count);
  const int found = kernels::top_k(logits.data(), static_cast<int64_t>(logits.size()), count,
                                   ids.data(), values.data());
  std::vector<TokenLogprob> best;
  for (int i = 0; i < found; ++i) {
    best.push_back({static_cast<TokenId>(ids[i]), values[i] - norm});
  }
  return best;
}

TokenId argmax(std::span<const float> logits) {
  return static_cast<TokenId>(kernels::argmax(logits.data(), static_cast<int64_t>(logits.size())));
}

void penalise(std::span<float> logits, std::span<const TokenId> tokens, int prompt_length,
              const SamplingParams& params) {
  const auto in_range = [&](TokenId id) {
    return id >= 0 && id < static_cast<TokenId>(logits.size());
  };
  if (params.repetition_penalty != 1.0f) {
    std::vector<TokenId> seen(tokens.begin(), tokens.end());
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    for (const TokenId id : seen) {
      if (!in_range(id)) continue;
      float& x = logits[id];
      x = x < 0 ? x * params.repetition_penalty : x / params.repetition_penalty;
    }
  }
  if (params.presence_penalty == 0 && params.frequency_penalty == 0) return;
  std::unordered_map<TokenId, int> counts;
  for (const TokenId id : tokens.subspan(prompt_length)) ++counts[id];
  for (const auto& [id, count] : counts) {
    if (!in_range(id)) continue;
    logits[id] -= params.presence_penalty + params.frequency_penalty * static_cast<float>(count);
  }
}

}  // namespace

PromptLogprob Sampler::score(std::span<const float> logits, TokenId token, int count) {
  if (token < 0 || static_cast<size_t>(token) >= logits.size()) {
    throw std::runtime_error("a token of the prompt is beyond the model's head");
  }
  const float norm = kernels::log_sum_exp(logits.data(), static_cast<int64_t>(logits.size()));
  const float own = logits[token];
  check_finite(norm);
  PromptLogprob result;
  result.token = {token, own - norm};
  result.rank = 1 + static_cast<int>(std::count_if(logits.begin(), logits.end(),
                                                   [own](float other) { return other > own; }));
  if (count > 0) result.top = best_tokens(logits, count, norm);
  return result;
}

void Sampler::check_finite(float logit) {
  if (!std::isfinite(logit)) throw std::runtime_error(kNotFinite);
}

bool Sampler::takes_best(std::span<const TokenId> tokens, int prompt_length,
                         const SamplingParams& params) const {
  const int generated = static_cast<int>(tokens.size()) - prompt_length;
  return params.temperature <= 0 && !params.logprobs && !adjusts(params, generated);
}

bool Sampler::adjusts(const SamplingParams& params, int generated) const {
  return !params.logit_bias.empty() || params.repetition_penalty != 1.0f ||
         params.presence_penalty != 0 || params.frequency_penalty != 0 ||
         generated < params.min_tokens || params.constraint != nullptr || params.rules != nullptr ||
         params.model_rules != nullptr;
}

void Sampler::adjust(std::span<const TokenId> tokens, int prompt_length,
                     const SamplingParams& params) {
  const auto vocab = static_cast<TokenId>(adjusted_.size());
  const bool constrained = params.constraint != nullptr || params.rules != nullptr;
  const TextSoFar text{tokens, prompt_length, params.max_tokens, constrained};
  const GenerationRules* const model = params.model_rules.get();
  if (model != nullptr) bias_sequences(*model, text, adjusted_);
  penalise(adjusted_, tokens, prompt_length, params);
  if (model != nullptr) forbid_and_force(*model, text, eos_ids_, adjusted_);
  for (const auto& [id, bias] : params.logit_bias) {
    if (id >= 0 && id < vocab) adjusted_[id] += bias;
  }
  if (params.rules) mask_rules(*params.rules, tokens.subspan(prompt_length));
  if (params.constraint) mask_constraint(params);
  if (text.generated() < params.min_tokens) mask_ends(params);
  if ((params.rules || model != nullptr) && !any_left()) {
    throw ConstraintError(
        "every token that may come next is forbidden by the request or by the model's "
        "generation_config.json");
  }
}

bool Sampler::any_left() const {
  return std::any_of(adjusted_.begin(), adjusted_.end(),
                     [](float logit) { return logit != kMasked; });
}

void Sampler::mask_rules(const TokenRules& rules, std::span<const TokenId> answer) {
  if (!rules.allowed.empty()) mask_all_but(rules.allowed);
  for (const std::vector<TokenId>& word : rules.bad_words) {
    const auto last = static_cast<size_t>(word.back());
    if (last >= adjusted_.size()) continue;
    if (ends_with(answer, std::span(word).first(word.size() - 1))) adjusted_[last] = kMasked;
  }
}

// min_tokens: no end yet, unless nothing else is left.
void Sampler::mask_ends(const SamplingParams& params) {
  std::vector<std::pair<TokenId, float>> ends;
  for (const auto* ids : {static_cast<const std::vector<TokenId>*>(&eos_ids_), &params.stop_ids}) {
    for (const TokenId id : *ids) {
      if (id < 0 || id >= static_cast<TokenId>(adjusted_.size())) continue;
      ends.emplace_back(id, adjusted_[id]);
      adjusted_[id] = kMasked;
    }
  }
  if ((!params.constraint && !params.rules && !params.model_rules) || any_left()) return;
  for (auto end = ends.rbegin(); end != ends.rend(); ++end) adjusted_[end->first] = end->second;
}

void Sampler::mask_constraint(const SamplingParams& params) {
  const size_t vocab = adjusted_.size();
  mask_.assign((vocab + 31) / 32, ~0u);
  params.constraint->fill_mask(mask_.data(), static_cast<int>(vocab));
  mask_all_but(mask_);
}

void Sampler::mask_all_but(std::span<const uint32_t> allowed) {
  for (size_t word = 0; word * 32 < adjusted_.size(); ++word) {
    const uint32_t bits = word < allowed.size() ? allowed[word] : 0;
    if (bits == ~0u) continue;
    const size_t first = word * 32;
    const size_t count = std::min<size_t>(32, adjusted_.size() - first);
    for (size_t bit = 0; bit < count; ++bit) {
      float& logit = adjusted_[first + bit];
      logit = bits >> bit & 1 ? logit : kMasked;
    }
  }
}

SampledToken Sampler::sample(std::span<const float> logits, std::span<const TokenId> tokens,
                             int prompt_length, const SamplingParams& params) {
  const int generated = static_cast<int>(tokens.size()) - prompt_length;
  const bool greedy = params.temperature <= 0;
  const bool adjusted = adjusts(params, generated);
  SampledToken result;
  std::span<const float> chosen_by = logits;
  if (adjusted) {
    adjusted_.assign(logits.begin(), logits.end());
    adjust(tokens, prompt_length, params);
    chosen_by = adjusted_;
  }
  const uint64_t step = static_cast<uint64_t>(generated);
  result.token = greedy ? argmax(chosen_by)
                        : distribution_.draw(chosen_by, params, uniform(params.seed, step));
  check_finite(logits[result.token]);
  if (params.logprobs) {
    const float norm = kernels::log_sum_exp(logits.data(), static_cast<int64_t>(logits.size()));
    result.logprob = logits[result.token] - norm;
    result.top = best_tokens(logits, *params.logprobs, norm);
  }
  return result;
}

}  // namespace saccade
