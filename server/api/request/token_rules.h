#pragma once

#include <memory>

#include "engine/core/request.h"
#include "server/api/request/generation_options.h"
#include "server/prompt/tokenizer/tokenizer.h"

namespace saccade::api {

// allowed_token_ids and bad_words as the sampler takes them; null: neither is asked for. Each word
// stands for its tokens at the beginning of a text and for those behind a space (as in vLLM's
// SamplingParams.update_from_tokenizer).
std::shared_ptr<const TokenRules> token_rules(const Tokenizer& tokenizer,
                                              const GenerationOptions& options, int vocab_size);

}  // namespace saccade::api
