#include <string>
#include <utility>

#include "server/prompt/tokenizer/model.h"
#include "server/prompt/tokenizer/unicode.h"
#include "server/prompt/tokenizer/word_cache.h"

namespace saccade {
namespace {

constexpr int64_t kMaxWordLimit = 1 << 16;

// The longest piece first, from left to right; a word with a hole is the unknown token as a whole.
class WordPiece : public TokenModel {
 public:
  WordPiece(Vocabulary vocabulary, TokenId unk, std::string prefix, size_t max_chars)
      : TokenModel(std::move(vocabulary)),
        unk_(unk),
        prefix_(std::move(prefix)),
        max_chars_(max_chars) {}

  void tokenize(std::string_view word, std::vector<TokenId>& out) const override {
    const uint64_t hash = hash_bytes(word);
    if (cache_.find(word, hash, out)) return;
    const size_t first = out.size();
    if (too_long(word) || !cut(word, out)) {
      out.resize(first);
      out.push_back(unk_);
    }
    cache_.store(word, hash, out, first);
  }

 private:
  bool too_long(std::string_view word) const {
    if (word.size() <= max_chars_) return false;
    size_t chars = 0;
    for (size_t pos = 0; pos < word.size(); ++chars) unicode::next_char(word, pos);
    return chars > max_chars_;
  }

  bool cut(std::string_view word, std::vector<TokenId>& out) const {
    std::string piece;
    for (size_t start = 0; start < word.size();) {
      piece = start > 0 ? prefix_ : std::string();
      const size_t lead = piece.size();
      piece += word.substr(start, vocabulary_.max_piece_bytes());
      std::optional<TokenId> id;
      // A cut inside a character matches no piece, so the walk may go over them byte by byte; it
      // steps to character borders anyway.
      while (piece.size() > lead && !(id = vocabulary_.find(piece))) {
        piece.resize(unicode::previous_start(piece, piece.size()));
      }
      if (piece.size() <= lead) return false;
      out.push_back(*id);
      start += piece.size() - lead;
    }
    return true;
  }

  TokenId unk_;
  std::string prefix_;
  size_t max_chars_;
  mutable WordCache cache_;
};

class WordLevel : public TokenModel {
 public:
  WordLevel(Vocabulary vocabulary, TokenId unk) : TokenModel(std::move(vocabulary)), unk_(unk) {}
  void tokenize(std::string_view word, std::vector<TokenId>& out) const override {
    out.push_back(vocabulary_.find(word).value_or(unk_));
  }

 private:
  TokenId unk_;
};

TokenId read_unk(const JsonNode& node, const Vocabulary& vocabulary) {
  const JsonNode unk = node.at("unk_token");
  const auto id = vocabulary.find(unk.string());
  if (!id) unk.fail("'" + unk.string() + "' is not in the vocabulary");
  return *id;
}

}  // namespace

std::unique_ptr<TokenModel> make_wordpiece(const JsonNode& node) {
  Vocabulary vocabulary(node.at("vocab"));
  const TokenId unk = read_unk(node, vocabulary);
  const auto max_chars =
      static_cast<size_t>(node.at("max_input_chars_per_word").integer(0, kMaxWordLimit));
  const JsonNode prefix = node.at("continuing_subword_prefix");
  if (prefix.string().size() > 256) prefix.fail("longer than 256 bytes");
  return std::make_unique<WordPiece>(std::move(vocabulary), unk, prefix.string(), max_chars);
}

std::unique_ptr<TokenModel> make_wordlevel(const JsonNode& node) {
  Vocabulary vocabulary(node.at("vocab"));
  const TokenId unk = read_unk(node, vocabulary);
  return std::make_unique<WordLevel>(std::move(vocabulary), unk);
}

}  // namespace saccade
