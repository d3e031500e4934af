#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

#include "server/prompt/tokenizer/merge_table.h"
#include "server/prompt/tokenizer/model.h"
#include "server/prompt/tokenizer/unicode.h"
#include "server/prompt/tokenizer/word_cache.h"

namespace saccade {
namespace {

constexpr double kUnknownPenalty = 10.0;  // below the score of the worst piece (SentencePiece)

// All pieces as paths of bytes. Nodes are numbered; node 0 is the root.
class PieceTrie {
 public:
  void insert(std::string_view piece, TokenId id) {
    TokenId node = 0;
    for (const char c : piece) {
      const TokenId byte = static_cast<unsigned char>(c);
      TokenId next = edges_.find(node, byte).id;
      if (next < 0) {
        next = static_cast<TokenId>(piece_at_.size());
        edges_.set(node, byte, {0, next});
        piece_at_.push_back(-1);
      }
      node = next;
    }
    piece_at_[static_cast<size_t>(node)] = id;
  }
  // fn(length, id) for every piece that `text` starts with, the shortest first.
  template <typename Function>
  void prefixes(std::string_view text, Function fn) const {
    TokenId node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = edges_.find(node, static_cast<unsigned char>(text[i])).id;
      if (node < 0) return;
      const TokenId piece = piece_at_[static_cast<size_t>(node)];
      if (piece >= 0) fn(i + 1, piece);
    }
  }

 private:
  MergeTable edges_;  // (node, byte) -> node
  std::vector<TokenId> piece_at_ = {-1};
};

// The cut of a text with the highest sum of scores (Viterbi).
class Unigram : public TokenModel {
 public:
  Unigram(Vocabulary vocabulary, std::vector<double> scores, std::optional<TokenId> unk,
          bool byte_fallback)
      : TokenModel(std::move(vocabulary)),
        scores_(std::move(scores)),
        unk_(unk),
        byte_fallback_(byte_fallback) {
    vocabulary_.for_each([&](std::string_view piece, TokenId id) { trie_.insert(piece, id); });
    // One number, added once: equal cuts are told apart by the last bit of their sums.
    unknown_score_ = (scores_.empty() ? 0.0 : *std::min_element(scores_.begin(), scores_.end())) -
                     kUnknownPenalty;
    for (int byte = 0; byte < 256; ++byte) {
      char code[8];
      std::snprintf(code, sizeof code, "<0x%02X>", static_cast<unsigned>(byte));
      byte_id_[static_cast<size_t>(byte)] = vocabulary_.find(code).value_or(-1);
    }
  }

  void tokenize(std::string_view word, std::vector<TokenId>& out) const override {
    const uint64_t hash = hash_bytes(word);
    if (cache_.find(word, hash, out)) return;
    const size_t first = out.size();
    cut(word, out);
    cache_.store(word, hash, out, first);
  }

 private:
  struct Best {
    double score = 0;
    size_t start = SIZE_MAX;  // SIZE_MAX: no path ends here
    TokenId id = -1;          // -1: unknown character
  };

  static void offer(Best& best, double score, size_t start, TokenId id) {
    if (best.start == SIZE_MAX || score > best.score) best = {score, start, id};
  }

  void cut(std::string_view word, std::vector<TokenId>& out) const {
    std::vector<Best> best(word.size() + 1);
    for (size_t start = 0; start < word.size();) {
      const double score = best[start].score;
      const size_t char_bytes = unicode::utf8_length(static_cast<unsigned char>(word[start]));
      bool single = false;
      trie_.prefixes(word.substr(start), [&](size_t length, TokenId id) {
        offer(best[start + length], score + scores_[static_cast<size_t>(id)], start, id);
        single = single || length == char_bytes;
      });
      if (!single) {
        offer(best[start + char_bytes], score + unknown_score_, start, unk_.value_or(-1));
      }
      start += char_bytes;
    }
    emit(word, best, out);
  }

  void emit(std::string_view word, const std::vector<Best>& best, std::vector<TokenId>& out) const {
    std::vector<size_t> ends;
    for (size_t end = word.size(); end > 0; end = best[end].start) ends.push_back(end);
    std::reverse(ends.begin(), ends.end());
    size_t unknown = 0, unknown_end = 0;  // neighbouring unknown characters are one
    for (const size_t end : ends) {
      const Best& piece = best[end];
      if (piece.id == unk_.value_or(-1)) {
        if (unknown_end != piece.start || unknown == unknown_end) unknown = piece.start;
        unknown_end = end;
        continue;
      }
      if (unknown < unknown_end) emit_unknown(word.substr(unknown, unknown_end - unknown), out);
      unknown = unknown_end = end;
      out.push_back(piece.id);
    }
    if (unknown < unknown_end) emit_unknown(word.substr(unknown, unknown_end - unknown), out);
  }

  void emit_unknown(std::string_view text, std::vector<TokenId>& out) const {
    if (const auto id = vocabulary_.find(text)) {
      out.push_back(*id);
      return;
    }
    const bool bytes = byte_fallback_ && std::all_of(text.begin(), text.end(), [&](char c) {
                         return byte_id_[static_cast<unsigned char>(c)] >= 0;
                       });
    if (bytes) {
      for (const char c : text) out.push_back(byte_id_[static_cast<unsigned char>(c)]);
    } else if (unk_) {
      out.push_back(*unk_);
    }
  }

  PieceTrie trie_;
  std::vector<double> scores_;  // by id
  double unknown_score_;
  std::optional<TokenId> unk_;
  bool byte_fallback_;
  std::array<TokenId, 256> byte_id_;
  mutable WordCache cache_;
};

}  // namespace

std::unique_ptr<TokenModel> make_unigram(const JsonNode& node) {
  const JsonNode list = node.at("vocab");
  if (static_cast<int64_t>(list.size()) > kMaxTokenId) list.fail("too many pieces");
  Vocabulary vocabulary;
  vocabulary.reserve(list.size());
  std::vector<double> scores;
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonNode entry = list.item(i);
    const double score = entry.item(1).number();
    if (!std::isfinite(score)) entry.fail("the score is not finite");
    vocabulary.add(entry.item(0).string(), static_cast<TokenId>(i));
    scores.push_back(score);
  }
  std::optional<TokenId> unk;
  if (const auto id = node.find("unk_id")) {
    unk = static_cast<TokenId>(id->integer(0, static_cast<int64_t>(list.size()) - 1));
  }
  return std::make_unique<Unigram>(std::move(vocabulary), std::move(scores), unk,
                                   node.boolean_or("byte_fallback", false));
}

}  // namespace saccade
