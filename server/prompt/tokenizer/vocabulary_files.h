#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "server/prompt/tokenizer/tokenizer_config.h"

namespace saccade {

// Whether the folder has the files of a slow tokenizer: vocab.json and merges.txt (GPT2Tokenizer,
// as OPT's folders have it, and Qwen2Tokenizer) or vocab.txt (BertTokenizer).
bool has_vocabulary(const std::filesystem::path& folder);

// What tokenizer.json would hold of them but for the post-processor, as transformers'
// convert_slow_tokenizer.py makes it. `config` names the special tokens. LoadError where a file
// cannot be read, or the class is another.
nlohmann::json tokenizer_json_of_vocabulary(const std::filesystem::path& folder,
                                            const TokenizerConfig& config);

}  // namespace saccade
