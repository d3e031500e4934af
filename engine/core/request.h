#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/generation_rules.h"
#include "engine/core/media.h"
#include "engine/core/types.h"

namespace saccade {

class TokenStream;

// Restricts what may be sampled next (structured output). Called on the engine thread only.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  // The sampler, before it chooses: clears bit i of `mask` ([ceil(vocab / 32)] words, all ones on
  // entry) for each forbidden id.
  virtual void fill_mask(uint32_t* mask, int vocab_size) = 0;
  // Scheduler::commit(), once per sampled token: moves past it. False: the token is not allowed
  // here (the request fails).
  virtual bool accept(TokenId token) = 0;
  // Scheduler::plan(), once a step for a sequence that could decode: whether it sits the step out,
  // so that what constraints cost stays bounded however many there are.
  virtual bool sits_out() { return false; }
};

// What a request forbids whatever else is asked for (vLLM's allowed_token_ids and bad_words).
struct TokenRules {
  std::vector<uint32_t> allowed;  // [ceil(vocab / 32)] bit i: id i may be chosen; empty: all may
  // None is empty. The last id of each is not chosen where the answer ends with those before it.
  std::vector<std::vector<TokenId>> bad_words;
};

// How the next token is chosen. Order: biases of model_rules, penalties, the rest of model_rules,
// logit_bias, the masks of rules, constraint and min_tokens, temperature, top_k, top_p, min_p.
// Logprobs are of the raw logits, before all of it.
struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy
  float top_p = 1.0f;        // (0, 1]
  int top_k = 0;             // 0: off
  float min_p = 0.0f;        // [0, 1]
  // Multiplicative (Hugging Face): counts tokens of the prompt and of the answer.
  float repetition_penalty = 1.0f;
  // Additive (OpenAI): count tokens of the answer only.
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  // Same seed, same text, whatever else is in the batch. Without one the request's own is random.
  uint64_t seed = 0;
  std::vector<std::pair<TokenId, float>> logit_bias;
  int max_tokens = 16;            // 0: no answer, for Request::pooling or prompt_logprobs alone
  int min_tokens = 0;             // end-of-sequence and stop ids are masked before this many
  std::vector<TokenId> stop_ids;  // ends the answer, besides the model's own end ids
  bool ignore_eos = false;        // the model's own end ids do not end the answer
  std::optional<int> logprobs;    // with the chosen token: this many best alternatives (0-20)
  // Of the prompt's tokens from position `prompt_logprobs_from` (>= 1) on, given those before: with
  // this many best alternatives. They come before the first token of the answer.
  std::optional<int> prompt_logprobs;
  int prompt_logprobs_from = 1;
  std::shared_ptr<TokenConstraint> constraint;  // may be null
  std::shared_ptr<const TokenRules> rules;      // may be null; shared by the choices of a request
  std::shared_ptr<const GenerationRules> model_rules;  // may be null; shared by all requests
  // Guesses of the next tokens in one step, at most, by prompt lookup; 0: none. The answer is the
  // same with and without. Not with a constraint.
  int draft_tokens = 0;
};

// One vector for the prompt instead of an answer, of the decoder's last hidden states (behind the
// final norm).
enum class Pooling {
  kNone,
  kMean,  // over all positions, visual ones too
  kLast,  // of the last position
};

// What the server hands to the engine: token ids and pixels, never text.
struct Request {
  RequestId id = 0;
  std::vector<TokenId> prompt;      // [prompt_len], a placeholder id at every visual position
  std::vector<MediaSpan> spans;     // ascending, disjoint
  std::vector<EncoderInput> media;  // what spans refer to
  int adapter = 0;                  // ModelOptions::adapters, from 1 on; 0: the model as it is
  // Its KV blocks are shared with requests of the same salt alone (vLLM's cache_salt).
  std::string cache_salt;
  SamplingParams sampling;
  Pooling pooling = Pooling::kNone;
  std::shared_ptr<TokenStream> stream;  // where the answer goes; shared with the HTTP worker
  TimePoint arrival{};
};

}  // namespace saccade
