#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/core/types.h"
#include "server/prompt/text_segment.h"

namespace saccade {

class DecoderChain;

struct EncodeOptions {
  bool add_special_tokens = true;  // run the post-processor's template (<s> and the like)
  bool truncate = false;
  int max_length = 0;  // ids in all, for truncate; 0: the limit in the tokenizer's files
};

// Text to ids and back, as the Hugging Face `tokenizers` library does it for the same folder.
// Immutable after load(); all members may be called from many threads at once.
class Tokenizer {
 public:
  // Of a folder or a GGUF file. Reads tokenizer.json, or where there is none tokenizer.model,
  // vocab.json with merges.txt, or vocab.txt; and tokenizer_config.json, special_tokens_map.json
  // and added_tokens.json if present. Throws LoadError naming file and field, and the type where
  // one is not supported.
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& path);
  ~Tokenizer();

  // The segments are one text: words and merges cross their borders as the reference's do. But an
  // added token that is special, or whose id is in `protect` (placeholders such as <image>), is
  // found only where no byte of it comes from a user. Ill-formed UTF-8 counts as U+FFFD.
  std::vector<TokenId> encode(std::span<const TextSegment> text, const EncodeOptions& options = {},
                              std::span<const TokenId> protect = {}) const;
  // The same for one text of the template (nothing in it comes from a user).
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // Unknown ids are skipped. Equals `tokenizers`' decode; transformers'
  // clean_up_tokenization_spaces is not applied.
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const;

  // The piece as the vocabulary spells it; "" for an unknown id.
  std::string token_text(TokenId id) const;
  // The bytes that a token stands for in the middle of a text, not always valid UTF-8. Special
  // tokens stand for their own spelling.
  std::string token_bytes(TokenId id) const;
  std::optional<TokenId> token_id(std::string_view piece) const;
  bool is_special(TokenId id) const;
  bool is_added(TokenId id) const;
  // One above the largest id.
  int vocab_size() const;

  // Named in tokenizer_config.json or special_tokens_map.json. The text is empty where not named;
  // the id is none where it is not named or not a token.
  const std::string& bos_token() const;
  const std::string& eos_token() const;
  const std::string& pad_token() const;
  const std::string& unk_token() const;
  std::optional<TokenId> bos_id() const;
  std::optional<TokenId> eos_id() const;
  std::optional<TokenId> pad_id() const;
  std::optional<TokenId> unk_id() const;

  // For the streaming detokenizer.
  const DecoderChain& decoder() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace saccade
