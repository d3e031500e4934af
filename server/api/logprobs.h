#pragma once

#include <string>
#include <vector>

#include "server/api/generation.h"
#include "server/api/json.h"
#include "server/prompt/tokenizer/tokenizer.h"

namespace saccade::api {

// choices[].logprobs of a chat: {"content":[{token, logprob, bytes, top_logprobs}],
// "refusal":null}. `with_top` as asked for: top_logprobs is there in any case, empty without.
Json chat_logprobs(const Tokenizer& tokenizer, const std::vector<LogprobEntry>& entries);

// choices[].logprobs of a completion: {tokens, token_logprobs, top_logprobs, text_offset}, the
// offsets in characters from `text_offset` on, which moves behind the entries.
Json completion_logprobs(const Tokenizer& tokenizer, const std::vector<LogprobEntry>& entries,
                         size_t& text_offset);

}  // namespace saccade::api
