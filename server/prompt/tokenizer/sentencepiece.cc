#include <sentencepiece_processor.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "engine/core/status.h"
#include "engine/weights/mapped_file.h"
#include "server/prompt/tokenizer/tokenizer_parts.h"
#include "server/prompt/tokenizer/unicode.h"

namespace saccade {
namespace {

using unicode::kWordMark;

using sentencepiece::SentencePieceProcessor;

constexpr size_t kMaxModelBytes = size_t{64} << 20;

// The library itself, one part between added tokens at a time, fed as transformers' LlamaTokenizer
// feeds it. "Legacy" lets the library put its space before each part. Otherwise only the whole text
// gets one (see FirstMark), and the space that a part starts with is saved from the library, which
// drops it, by the unknown token in front.
class SentencePieceModel : public TokenModel {
 public:
  SentencePieceModel(Vocabulary vocabulary, std::unique_ptr<SentencePieceProcessor> processor,
                     bool legacy)
      : TokenModel(std::move(vocabulary)), processor_(std::move(processor)), legacy_(legacy) {
    unk_ = processor_->IdToPiece(processor_->unk_id());
    hidden_ = encode(unk_).size();
  }

  void tokenize(std::string_view part, std::vector<TokenId>& out) const override {
    const bool hide = !legacy_ && (part.starts_with(' ') || part.starts_with(kWordMark));
    std::string text = hide ? unk_ : std::string();
    text += part;
    const std::vector<int> ids = encode(text);
    const size_t skip = hide && ids.size() >= hidden_ ? hidden_ : 0;
    out.insert(out.end(), ids.begin() + static_cast<long>(skip), ids.end());
  }

 private:
  std::vector<int> encode(const std::string& text) const {
    std::vector<int> ids;
    // Fails on an unloaded model only; the text is valid UTF-8.
    if (!processor_->Encode(text, &ids).ok()) ids.clear();
    return ids;
  }

  std::unique_ptr<SentencePieceProcessor> processor_;
  bool legacy_;
  std::string unk_;
  size_t hidden_ = 0;  // ids of the unknown token's spelling
};

// A mark before the whole text, even where a space is.
class FirstMark : public PreTokenizer {
 public:
  void apply(SplitText& text) const override {
    if (!text.at_start || text.words.empty()) return;
    text.text.insert(0, kWordMark);
    text.words = {{0, text.text.size()}};
  }
};

constexpr const char* kDecoder = R"({"type": "Sequence", "decoders": [
  {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
  {"type": "ByteFallback"}, {"type": "Fuse"},
  {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})";
// Of the text, so that a user's ▁ is a space like any other.
constexpr const char* kNormalizer =
    R"({"type": "Replace", "pattern": {"String": "▁"}, "content": " "})";

}  // namespace

std::string read_sentencepiece(const std::filesystem::path& file) {
  return read_file(file, file.string(), kMaxModelBytes);
}

namespace {

std::unique_ptr<SentencePieceProcessor> load_processor(std::string model, const std::string& where,
                                                       bool legacy) {
  // A message that is appended is merged: normalizer_spec (3) { add_dummy_prefix (3): false }.
  if (!legacy) model += std::string("\x1A\x02\x18\x00", 4);
  auto processor = std::make_unique<SentencePieceProcessor>();
  if (!processor->LoadFromSerializedProto(model).ok()) {
    throw LoadError(where + ": not a SentencePiece model");
  }
  return processor;
}

Vocabulary read_pieces(const SentencePieceProcessor& processor, const std::string& where) {
  const int count = processor.GetPieceSize();
  if (count <= 0 || count > kMaxTokenId || processor.unk_id() < 0) {
    throw LoadError(where + ": no usable vocabulary");
  }
  Vocabulary vocabulary;
  vocabulary.reserve(static_cast<size_t>(count));
  for (int id = 0; id < count; ++id) vocabulary.add(processor.IdToPiece(id), id);
  return vocabulary;
}

void name_special_tokens(const SentencePieceProcessor& processor, TokenizerConfig& config) {
  const auto name = [&](std::string& slot, int id) {
    if (slot.empty() && id >= 0) slot = processor.IdToPiece(id);
    if (slot.empty()) return;
    AddedToken token;
    token.content = slot;
    token.special = true;
    token.normalized = false;
    config.named.push_back(std::move(token));
  };
  name(config.unk, processor.unk_id());
  name(config.bos, processor.bos_id());
  name(config.eos, processor.eos_id());
}

}  // namespace

void load_sentencepiece(std::string model, const std::string& where, TokenizerParts& parts) {
  const bool legacy = parts.config.legacy.value_or(true);
  auto processor = load_processor(std::move(model), where, legacy);
  Vocabulary vocabulary = read_pieces(*processor, where);
  name_special_tokens(*processor, parts.config);
  for (const std::string& content : parts.config.legacy_added) {
    AddedToken token;
    token.content = content;
    token.normalized = false;
    parts.added.add(token, vocabulary);
  }
  const nlohmann::json decoder = nlohmann::json::parse(kDecoder);
  parts.decoder = DecoderChain(JsonNode(decoder, "decoder"));
  if (!legacy) {
    const nlohmann::json normalizer = nlohmann::json::parse(kNormalizer);
    parts.normalizer = make_normalizer(JsonNode(normalizer, "normalizer"));
    parts.pre_tokenizer.steps = std::make_unique<FirstMark>();
  }
  parts.model =
      std::make_unique<SentencePieceModel>(std::move(vocabulary), std::move(processor), legacy);
}

}  // namespace saccade
