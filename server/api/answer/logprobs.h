#pragma once

#include <string>
#include <vector>

#include "server/api/answer/generation.h"
#include "server/api/fields/json.h"
#include "server/prompt/tokenizer/tokenizer.h"

namespace saccade::api {

// How log-probabilities name tokens: by their text, or as "token_id:5".
struct TokenNames {
  const Tokenizer& tokenizer;
  bool as_ids = false;
};

// choices[].logprobs of a chat: {"content":[{token, logprob, bytes, top_logprobs}],
// "refusal":null}. `with_top` as asked for: top_logprobs is there in any case, empty without.
Json chat_logprobs(const TokenNames& names, const std::vector<LogprobEntry>& entries);

// choices[].logprobs of a completion: {tokens, token_logprobs, top_logprobs, text_offset}, the
// offsets in characters from `text_offset` on, which moves behind the entries.
Json completion_logprobs(const TokenNames& names, const std::vector<LogprobEntry>& entries,
                         size_t& text_offset);

// A prompt's tokens as entries, the first without a log-probability. `scores` are those of the
// last scores.size() tokens.
std::vector<LogprobEntry> prompt_entries(const PreparedPrompt& prompt,
                                         const std::vector<PromptLogprob>& scores);

// vLLM's prompt_logprobs: for each token of the prompt null (the first one, and those of pictures)
// or {"id": {logprob, rank, decoded_token}}, the token itself and its alternatives.
Json prompt_logprobs_json(const Tokenizer& tokenizer, const PreparedPrompt& prompt,
                          const std::vector<PromptLogprob>& scores);

}  // namespace saccade::api
