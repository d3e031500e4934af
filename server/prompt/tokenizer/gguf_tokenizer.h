#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "engine/weights/json.h"
#include "server/prompt/tokenizer/tokenizer_config.h"

namespace saccade {

// The tokenizer inside a GGUF file (tokenizer.ggml.*), told in the formats of a Hugging Face
// folder. All throw LoadError naming the file and the key.

// Names of the special tokens, and whether they frame a text.
TokenizerConfig gguf_tokenizer_config(const JsonView& metadata);

// tokenizer.ggml.model: "llama" (SentencePiece) or "gpt2" (byte-level BPE).
bool is_sentencepiece(const JsonView& metadata);

// "gpt2": the content of tokenizer.json. How words are found follows from tokenizer.ggml.pre.
nlohmann::json gguf_tokenizer_json(const JsonView& metadata);

// "llama": a SentencePiece model with the same pieces, scores and kinds, serialised.
std::string gguf_sentencepiece(const JsonView& metadata);

}  // namespace saccade
