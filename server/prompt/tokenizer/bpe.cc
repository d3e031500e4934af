#include <array>
#include <string>
#include <unordered_set>
#include <utility>

#include "server/prompt/tokenizer/byte_alphabet.h"
#include "server/prompt/tokenizer/merge_table.h"
#include "server/prompt/tokenizer/model.h"
#include "server/prompt/tokenizer/unicode.h"
#include "server/prompt/tokenizer/word_cache.h"

namespace saccade {
namespace {

using unicode::kWordMark;

constexpr size_t kMaxAffixBytes = 256;

struct BpeOptions {
  std::string unk_token;  // empty: unknown characters vanish
  std::string prefix;     // of symbols that do not start a word
  std::string suffix;     // of the symbol that ends a word
  bool fuse_unk = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  // a word that is a piece stays whole
  bool byte_level = false;     // words are bytes, pieces spell them in the GPT-2 alphabet
};

class Bpe : public TokenModel {
 public:
  Bpe(Vocabulary vocabulary, BpeOptions options, MergeTable merges, bool splits_at_marks)
      : TokenModel(std::move(vocabulary)),
        options_(std::move(options)),
        merges_(std::move(merges)),
        splits_at_marks_(splits_at_marks) {
    unk_ = vocabulary_.find(options_.unk_token);
    fill_bytes();
  }

  void tokenize(std::string_view word, std::vector<TokenId>& out) const override {
    if (!splits_at_marks_) {
      tokenize_word(word, out);
      return;
    }
    // No piece holds a mark behind another character, so no merge ever crosses a border before
    // marks and the parts between borders can be tokenised, and remembered, on their own.
    size_t begin = 0;
    for (size_t mark = word.find(kWordMark, 0); mark != std::string_view::npos;) {
      if (mark > begin) tokenize_word(word.substr(begin, mark - begin), out);
      begin = mark;
      do {
        mark += kWordMark.size();
      } while (word.substr(mark, kWordMark.size()) == kWordMark);
      mark = word.find(kWordMark, mark);
    }
    if (begin < word.size()) tokenize_word(word.substr(begin), out);
  }

 private:
  void fill_bytes() {
    byte_id_.fill(-1);
    fallback_id_.fill(-1);
    for (int byte = 0; byte < 256; ++byte) {
      std::string spelled;
      unicode::append(spelled, byte_alphabet::char_of(static_cast<unsigned char>(byte)));
      const auto index = static_cast<size_t>(byte);
      byte_id_[index] = vocabulary_.find(spelled).value_or(-1);
      char code[8];
      std::snprintf(code, sizeof code, "<0x%02X>", static_cast<unsigned>(byte));
      fallback_id_[index] = vocabulary_.find(code).value_or(-1);
    }
    plain_bytes_ = options_.byte_level && options_.prefix.empty() && options_.suffix.empty();
    for (const TokenId id : byte_id_) plain_bytes_ = plain_bytes_ && id >= 0;
    if (!options_.byte_level || !options_.ignore_merges) return;
    whole_words_.reserve(vocabulary_.size());
    vocabulary_.for_each([&](std::string_view piece, TokenId id) {
      if (const auto bytes = byte_alphabet::to_bytes(piece)) whole_words_.add(*bytes, id);
    });
  }

  void tokenize_word(std::string_view word, std::vector<TokenId>& out) const {
    const uint64_t hash = hash_bytes(word);
    if (cache_.find(word, hash, out)) return;
    const size_t first = out.size();
    if (const auto whole = whole_word(word)) {
      out.push_back(*whole);
    } else {
      merge_word(word, out);
    }
    cache_.store(word, hash, out, first);
  }

  std::optional<TokenId> whole_word(std::string_view word) const {
    if (!options_.ignore_merges) return std::nullopt;
    return options_.byte_level ? whole_words_.find(word) : vocabulary_.find(word);
  }

  void merge_word(std::string_view word, std::vector<TokenId>& out) const {
    std::vector<TokenId> symbols;
    symbols.reserve(word.size());
    if (plain_bytes_) {
      for (const char c : word) symbols.push_back(byte_id_[static_cast<unsigned char>(c)]);
    } else if (options_.byte_level) {
      characters(byte_alphabet::from_bytes(word), symbols);
    } else {
      characters(word, symbols);
    }
    merge_symbols(merges_, symbols);
    out.insert(out.end(), symbols.begin(), symbols.end());
  }

  // One symbol per character; unknown ones become bytes, the unknown token or nothing.
  void characters(std::string_view word, std::vector<TokenId>& symbols) const {
    bool unknown = false;  // an unknown token waits to be written
    std::string piece;
    for (size_t pos = 0; pos < word.size();) {
      const size_t begin = pos;
      unicode::next_char(word, pos);
      piece.clear();
      if (begin > 0) piece += options_.prefix;
      piece += word.substr(begin, pos - begin);
      if (pos == word.size()) piece += options_.suffix;
      if (const auto id = vocabulary_.find(piece)) {
        if (unknown) symbols.push_back(*unk_);
        unknown = false;
        symbols.push_back(*id);
      } else if (!append_bytes(piece, symbols) && unk_) {
        if (unknown && !options_.fuse_unk) symbols.push_back(*unk_);
        unknown = true;
      }
    }
    if (unknown) symbols.push_back(*unk_);
  }

  bool append_bytes(std::string_view piece, std::vector<TokenId>& symbols) const {
    if (!options_.byte_fallback) return false;
    for (const char c : piece) {
      if (fallback_id_[static_cast<unsigned char>(c)] < 0) return false;
    }
    for (const char c : piece) symbols.push_back(fallback_id_[static_cast<unsigned char>(c)]);
    return true;
  }

  BpeOptions options_;
  MergeTable merges_;
  bool splits_at_marks_;
  std::optional<TokenId> unk_;
  std::array<TokenId, 256> byte_id_;      // byte-level pieces of one byte
  std::array<TokenId, 256> fallback_id_;  // <0x00> to <0xFF>
  bool plain_bytes_ = false;              // every byte is a piece: no characters needed
  Vocabulary whole_words_;                // by their bytes, for ignore_merges
  mutable WordCache cache_;
};

BpeOptions read_options(const JsonNode& node, bool byte_level) {
  BpeOptions options;
  options.unk_token = node.string_or("unk_token", "");
  options.prefix = node.string_or("continuing_subword_prefix", "");
  options.suffix = node.string_or("end_of_word_suffix", "");
  options.fuse_unk = node.boolean_or("fuse_unk", false);
  options.byte_fallback = node.boolean_or("byte_fallback", false);
  options.ignore_merges = node.boolean_or("ignore_merges", false);
  options.byte_level = byte_level;
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const auto affix = node.find(key); affix && affix->string().size() > kMaxAffixBytes) {
      affix->fail("longer than " + std::to_string(kMaxAffixBytes) + " bytes");
    }
  }
  return options;
}

// "a b" or ["a", "b"].
std::pair<std::string_view, std::string_view> read_pair(const JsonNode& merges, size_t index) {
  const auto& entry = merges.raw()[index];
  if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
    return {entry[0].get_ref<const std::string&>(), entry[1].get_ref<const std::string&>()};
  }
  if (entry.is_string()) {
    const std::string_view text = entry.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  merges.item(index).fail("expected two pieces");
}

MergeTable read_merges(const JsonNode& node, const Vocabulary& vocabulary, size_t prefix_bytes) {
  const JsonNode merges = node.at("merges");
  if (!merges.is_array()) merges.fail("expected a list");
  MergeTable table;
  table.reserve(merges.size());
  const auto id_of = [&](std::string_view piece, size_t index) {
    const auto id = vocabulary.find(piece);
    if (!id) merges.item(index).fail(std::string(piece) + " is not in the vocabulary");
    return *id;
  };
  uint32_t rank = 0;
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto& entry = merges.raw()[i];
    if (entry.is_string() && entry.get_ref<const std::string&>().starts_with("#version")) continue;
    const auto [left, right] = read_pair(merges, i);
    if (right.size() < prefix_bytes) merges.item(i).fail("shorter than the prefix");
    std::string merged(left);
    merged += right.substr(prefix_bytes);
    const TokenId left_id = id_of(left, i);
    const TokenId right_id = id_of(right, i);
    table.set(left_id, right_id, {rank++, id_of(merged, i)});
  }
  return table;
}

// Whether no piece holds a mark behind a character that is none, and every mark is a piece: then a
// border before marks is final.
bool marks_only_lead(const Vocabulary& vocabulary, const BpeOptions& options) {
  if (options.byte_level || options.ignore_merges || !options.prefix.empty() ||
      !options.suffix.empty() || !vocabulary.find(kWordMark)) {
    return false;
  }
  bool lead = true;
  vocabulary.for_each([&](std::string_view piece, TokenId) {
    size_t text = 0;
    while (piece.substr(text, kWordMark.size()) == kWordMark) text += kWordMark.size();
    lead = lead && piece.find(kWordMark, text) == std::string_view::npos;
  });
  return lead;
}

}  // namespace

std::unique_ptr<TokenModel> make_bpe(const JsonNode& node, bool byte_level) {
  BpeOptions options = read_options(node, byte_level);
  Vocabulary vocabulary(node.at("vocab"));
  MergeTable merges = read_merges(node, vocabulary, options.prefix.size());
  const bool splits = marks_only_lead(vocabulary, options);
  return std::make_unique<Bpe>(std::move(vocabulary), std::move(options), std::move(merges),
                               splits);
}

std::unique_ptr<TokenModel> make_model(const JsonNode& node, bool byte_level) {
  // Old files carry no type: what has merges is a BPE, what has a word limit a WordPiece.
  const std::string type = node.has("type")                       ? node.type()
                           : node.has("merges")                   ? "BPE"
                           : node.has("max_input_chars_per_word") ? "WordPiece"
                                                                  : "";
  if (type == "BPE") return make_bpe(node, byte_level);
  if (type == "WordPiece") return make_wordpiece(node);
  if (type == "WordLevel") return make_wordlevel(node);
  if (type == "Unigram") return make_unigram(node);
  node.fail(type.empty() ? "the type is missing" : "the model '" + type + "' is not supported");
}

}  // namespace saccade
