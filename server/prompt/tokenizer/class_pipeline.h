#pragma once

#include <nlohmann/json.hpp>

#include "server/prompt/tokenizer/tokenizer_config.h"

namespace saccade {

// Some classes of transformers 5 (LlamaTokenizer, CodeLlamaTokenizer, GemmaTokenizer,
// Qwen2Tokenizer, GPT2Tokenizer, GPTNeoXTokenizer) take vocabulary, merges, added tokens and mostly
// the template from tokenizer.json and bring normalizer, pre-tokenizer, decoder and the model's
// flags themselves. They are BPEs whatever the file describes: of other models the vocabulary alone
// is read. Writes theirs over those of `json`, what the file holds, where config.pipeline_class is
// one of them.
void use_class_pipeline(TokenizerConfig& config, nlohmann::json& json);

}  // namespace saccade
