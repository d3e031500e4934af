#pragma once

#include <nlohmann/json.hpp>

#include "server/prompt/tokenizer/tokenizer_config.h"

namespace saccade {

// Some classes of transformers 5 (LlamaTokenizer, GemmaTokenizer, Qwen2Tokenizer, GPT2Tokenizer)
// take vocabulary, merges, added tokens and template from tokenizer.json and bring normalizer,
// pre-tokenizer, decoder and the model's flags themselves. Writes theirs over those of `json`, what
// the file holds, where config.pipeline_class is one of them and the model a BPE.
void use_class_pipeline(const TokenizerConfig& config, nlohmann::json& json);

}  // namespace saccade
