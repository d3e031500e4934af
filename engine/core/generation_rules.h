#pragma once

#include <utility>
#include <vector>

#include "engine/core/types.h"

namespace saccade {

// What a checkpoint's generation_config.json asks of every answer, beside what a request may set.
// Each is a logits processor of the reference's generate(); "the text" is prompt and answer.
struct GenerationRules {
  struct Bias {
    std::vector<TokenId> tokens;  // not empty
    float bias = 0;               // of the last, where the text ends with those before it
    bool operator==(const Bias&) const = default;
  };
  std::vector<Bias> sequence_bias;
  float encoder_repetition_penalty = 1.0f;  // greater: the prompt's tokens are likelier
  int no_repeat_ngram_size = 0;             // no run of so many tokens twice in the text; 0: off
  int encoder_no_repeat_ngram_size = 0;     // none of the prompt's in the text
  std::vector<std::vector<TokenId>> bad_words;  // as Bias, of minus infinity
  std::vector<TokenId> forced_begin;            // forced_bos_token_id: behind a prompt of one token
  std::vector<TokenId> forced_end;  // forced_eos_token_id: as the last token of max_tokens
  // exponential_decay_length_penalty: behind `decay_start` tokens of the answer end ids gain
  // |logit| * (decay_factor ^ tokens beyond - 1).
  int decay_start = 0;
  double decay_factor = 1.0;
  std::vector<TokenId> suppressed;
  std::vector<TokenId> suppressed_first;  // begin_suppress_tokens: as the answer's first token

  bool operator==(const GenerationRules&) const = default;
};

}  // namespace saccade
