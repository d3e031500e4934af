#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "engine/core/types.h"
#include "server/prompt/tokenizer/json_node.h"
#include "server/prompt/tokenizer/vocabulary.h"

namespace saccade {

// Turns one word (or one unsplit text) into ids.
class TokenModel {
 public:
  explicit TokenModel(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  virtual ~TokenModel() = default;
  virtual void tokenize(std::string_view word, std::vector<TokenId>& out) const = 0;  // thread-safe
  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  Vocabulary vocabulary_;
};

// Builds the model of a tokenizer.json. With `byte_level` its words are plain bytes, not spelled in
// the GPT-2 alphabet. Throws LoadError naming an unknown type or a field at fault.
std::unique_ptr<TokenModel> make_model(const JsonNode& node, bool byte_level);

std::unique_ptr<TokenModel> make_bpe(const JsonNode& node, bool byte_level);
std::unique_ptr<TokenModel> make_wordpiece(const JsonNode& node);
std::unique_ptr<TokenModel> make_wordlevel(const JsonNode& node);
std::unique_ptr<TokenModel> make_unigram(const JsonNode& node);

}  // namespace saccade
