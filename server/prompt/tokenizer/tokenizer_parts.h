#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "server/prompt/tokenizer/added_tokens.h"
#include "server/prompt/tokenizer/decoder.h"
#include "server/prompt/tokenizer/model.h"
#include "server/prompt/tokenizer/normalizer.h"
#include "server/prompt/tokenizer/post_processor.h"
#include "server/prompt/tokenizer/pre_tokenizer.h"
#include "server/prompt/tokenizer/tokenizer_config.h"

namespace saccade {

// The stages of a tokenizer, in the order a text passes them, and the one back.
struct TokenizerParts {
  AddedTokens added;
  std::unique_ptr<Normalizer> normalizer;  // may be null
  PreTokenizerChain pre_tokenizer;
  std::unique_ptr<TokenModel> model;
  PostProcessor post_processor;
  DecoderChain decoder;

  size_t max_length = 0;  // of truncation; 0: no limit known
  bool truncate_left = false;
  TokenizerConfig config;
};

// Reads the folder or GGUF file; see Tokenizer::load.
TokenizerParts load_tokenizer_parts(const std::filesystem::path& path);

// For folders with a SentencePiece tokenizer.model and no tokenizer.json: fills model, decoder and
// post-processor, the way transformers' LlamaTokenizer reads such a folder. `model` is the content
// of the file that messages call `where`.
std::string read_sentencepiece(const std::filesystem::path& file);
void load_sentencepiece(std::string model, const std::string& where, TokenizerParts& parts);

}  // namespace saccade
