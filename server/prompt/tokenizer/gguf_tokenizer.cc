#include "server/prompt/tokenizer/gguf_tokenizer.h"

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "server/prompt/tokenizer/model.h"
#include "server/prompt/tokenizer/word_rules.h"

namespace saccade {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";

// token_type; the same numbers as SentencePiece's.
enum PieceKind { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4 };

struct Piece {
  std::string text;
  int kind = kNormal;
};

std::vector<Piece> read_pieces(const JsonView& metadata) {
  std::vector<std::string> texts = metadata.string_list(kTokens);
  const std::vector<int> kinds = metadata.int_list(kTypes);
  if (texts.empty()) metadata.fail(kTokens, "is missing");
  if (texts.size() > static_cast<size_t>(kMaxTokenId)) metadata.fail(kTokens, "too many tokens");
  if (!kinds.empty() && kinds.size() != texts.size()) {
    metadata.fail(kTypes, "has " + std::to_string(kinds.size()) + " values for " +
                              std::to_string(texts.size()) + " tokens");
  }
  std::vector<Piece> pieces;
  for (size_t i = 0; i < texts.size(); ++i) {
    pieces.push_back({std::move(texts[i]), kinds.empty() ? int{kNormal} : kinds[i]});
  }
  return pieces;
}

std::optional<std::string> piece_named(const JsonView& metadata, const std::vector<Piece>& pieces,
                                       const char* key) {
  if (!metadata.has(key)) return std::nullopt;
  const int id = metadata.integer(key, 0);
  if (id >= static_cast<int>(pieces.size())) metadata.fail(key, "is not a token");
  return pieces[static_cast<size_t>(id)].text;
}

struct WordRule {
  nlohmann::json pre_tokenizer;
  bool whole_words_first = false;  // a word that is a token is never merged
  bool composes = false;           // NFC
};

WordRule word_rule(const JsonView& metadata) {
  const std::string name = metadata.string("tokenizer.ggml.pre", "gpt-2");
  if (name == "gpt-2" || name == "gpt2") return {byte_level(true)};
  if (name == "llama-bpe" || name == "llama3" || name == "llama-v3") {
    return {split_by_words(kLlama3Words), true};
  }
  if (name == "qwen2") return {split_by_words(kQwen2Words), false, true};
  if (name == "smollm") {
    return {before_byte_level({{"type", "Digits"}, {"individual_digits", true}}, true)};
  }
  metadata.fail("tokenizer.ggml.pre", printable(name) +
                                          " is not supported (known: gpt-2, llama-bpe, qwen2, "
                                          "smollm)");
}

// {"type": "TemplateProcessing"} with <bos> before and <eos> behind a text, as asked for.
nlohmann::json framing(const JsonView& metadata, const std::vector<Piece>& pieces) {
  nlohmann::json parts = nlohmann::json::array({{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}});
  nlohmann::json tokens = nlohmann::json::object();
  const auto frame = [&](const char* flag, const char* id_key, bool before) {
    if (!metadata.boolean(flag, false)) return;
    const auto text = piece_named(metadata, pieces, id_key);
    if (!text) metadata.fail(id_key, "is missing");
    const nlohmann::json part = {{"SpecialToken", {{"id", *text}, {"type_id", 0}}}};
    parts.insert(before ? parts.begin() : parts.end(), part);
    tokens[*text] = {{"id", *text}, {"ids", {metadata.integer(id_key)}}, {"tokens", {*text}}};
  };
  frame("tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", true);
  frame("tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id", false);
  return {{"type", "TemplateProcessing"},
          {"single", parts},
          {"pair", parts},
          {"special_tokens", std::move(tokens)}};
}

// A protobuf message, written field by field (the wire format's varints, floats and strings).
class Message {
 public:
  Message& number(int field, uint64_t value) {
    tag(field, 0);
    varint(value);
    return *this;
  }
  Message& real(int field, float value) {
    tag(field, 5);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Message& text(int field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void tag(int field, int wire_type) { varint(static_cast<uint64_t>(field << 3 | wire_type)); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

}  // namespace

TokenizerConfig gguf_tokenizer_config(const JsonView& metadata) {
  const std::vector<Piece> pieces = read_pieces(metadata);
  TokenizerConfig config;
  const auto name = [&](std::string& slot, const char* key) {
    const auto text = piece_named(metadata, pieces, key);
    if (!text) return;
    slot = *text;
    AddedToken token;
    token.content = slot;
    token.special = true;
    token.normalized = false;
    config.named.push_back(std::move(token));
  };
  name(config.bos, "tokenizer.ggml.bos_token_id");
  name(config.eos, "tokenizer.ggml.eos_token_id");
  name(config.unk, "tokenizer.ggml.unknown_token_id");
  name(config.pad, "tokenizer.ggml.padding_token_id");
  for (const Piece& piece : pieces) {
    if (piece.kind != kControl && piece.kind != kUserDefined) continue;
    AddedToken token;
    token.content = piece.text;
    token.special = piece.kind == kControl;
    token.normalized = false;
    config.decoder.push_back(std::move(token));
  }
  if (metadata.has("tokenizer.ggml.add_bos_token")) {
    config.add_bos = metadata.boolean("tokenizer.ggml.add_bos_token");
  }
  if (metadata.has("tokenizer.ggml.add_eos_token")) {
    config.add_eos = metadata.boolean("tokenizer.ggml.add_eos_token");
  }
  return config;
}

bool is_sentencepiece(const JsonView& metadata) {
  const std::string model = metadata.string("tokenizer.ggml.model");
  if (model != "llama" && model != "gpt2") {
    metadata.fail("tokenizer.ggml.model",
                  printable(model) + " is not supported (known: gpt2, llama)");
  }
  return model == "llama";
}

nlohmann::json gguf_tokenizer_json(const JsonView& metadata) {
  const std::vector<Piece> pieces = read_pieces(metadata);
  WordRule rule = word_rule(metadata);
  nlohmann::json vocabulary = nlohmann::json::object();
  for (size_t id = 0; id < pieces.size(); ++id) vocabulary[pieces[id].text] = id;
  nlohmann::json json = {
      {"model",
       {{"type", "BPE"},
        {"vocab", std::move(vocabulary)},
        {"merges", metadata.string_list("tokenizer.ggml.merges")},
        {"ignore_merges", rule.whole_words_first}}},
      {"pre_tokenizer", std::move(rule.pre_tokenizer)},
      {"decoder", byte_level(true)},
      {"post_processor", framing(metadata, pieces)},
  };
  if (rule.composes) json["normalizer"] = {{"type", "NFC"}};
  return json;
}

// Field numbers: sentencepiece_model.proto.
std::string gguf_sentencepiece(const JsonView& metadata) {
  const std::vector<Piece> pieces = read_pieces(metadata);
  const std::vector<double> scores = metadata.number_list("tokenizer.ggml.scores");
  if (scores.size() != pieces.size()) {
    metadata.fail("tokenizer.ggml.scores", "has " + std::to_string(scores.size()) + " values for " +
                                               std::to_string(pieces.size()) + " tokens");
  }
  constexpr int kBpe = 2;
  Message trainer;
  trainer.number(3, kBpe).number(35, 1);  // model_type, byte_fallback
  const auto id = [&](int field, const char* key, int fallback) {
    trainer.number(field, static_cast<uint64_t>(int64_t{metadata.integer_or(key, fallback)}));
  };
  id(40, "tokenizer.ggml.unknown_token_id", 0);
  id(41, "tokenizer.ggml.bos_token_id", 1);
  id(42, "tokenizer.ggml.eos_token_id", 2);
  id(43, "tokenizer.ggml.padding_token_id", -1);
  Message normalizer;  // name, add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces
  normalizer.text(1, "identity")
      .number(3, metadata.boolean("tokenizer.ggml.add_space_prefix", true) ? 1 : 0)
      .number(4, 0)
      .number(5, 1);
  Message model;
  for (size_t i = 0; i < pieces.size(); ++i) {
    Message piece;
    piece.text(1, pieces[i].text)
        .real(2, static_cast<float>(scores[i]))
        .number(3, static_cast<uint64_t>(pieces[i].kind));
    model.text(1, piece.bytes());
  }
  model.text(2, trainer.bytes()).text(3, normalizer.bytes());
  return model.bytes();
}

}  // namespace saccade
