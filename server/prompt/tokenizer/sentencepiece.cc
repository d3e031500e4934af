#include <sentencepiece_processor.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "engine/core/status.h"
#include "server/prompt/tokenizer/tokenizer_parts.h"

namespace saccade {
namespace {

using sentencepiece::SentencePieceProcessor;

constexpr const char* kMark = "\xE2\x96\x81";  // ▁

// The library itself, one part between added tokens at a time. transformers' LlamaTokenizer feeds
// it in two ways: "legacy" lets the library put its space before each part; the other puts one
// before the whole text only and hides each part's start behind the unknown token.
class SentencePieceModel : public TokenModel {
 public:
  SentencePieceModel(Vocabulary vocabulary, std::unique_ptr<SentencePieceProcessor> processor,
                     bool legacy)
      : TokenModel(std::move(vocabulary)), processor_(std::move(processor)), legacy_(legacy) {
    unk_ = processor_->IdToPiece(processor_->unk_id());
    std::vector<int> ids;
    if (processor_->Encode(unk_, &ids).ok()) hidden_ = ids.size();
  }

  void tokenize(std::string_view part, std::vector<TokenId>& out) const override {
    std::vector<int> ids;
    const std::string text = legacy_ ? std::string(part) : unk_ + std::string(part);
    if (!processor_->Encode(text, &ids).ok()) return;
    const size_t skip = legacy_ ? 0 : std::min(hidden_, ids.size());
    out.insert(out.end(), ids.begin() + static_cast<long>(skip), ids.end());
  }

 private:
  std::unique_ptr<SentencePieceProcessor> processor_;
  bool legacy_;
  std::string unk_;
  size_t hidden_ = 0;  // ids of the unknown token's spelling in front of a part
};

// What transformers does to the text before the library sees it, without "legacy".
const char* const kNormalizer = R"({"type": "Sequence", "normalizers": [
  {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}]})";
const char* const kDecoder = R"({"type": "Sequence", "decoders": [
  {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
  {"type": "ByteFallback"}, {"type": "Fuse"},
  {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})";

Vocabulary read_pieces(const SentencePieceProcessor& processor, const std::string& where) {
  const int count = processor.GetPieceSize();
  if (count <= 0 || count > kMaxTokenId) throw LoadError(where + ": no usable vocabulary");
  Vocabulary vocabulary;
  vocabulary.reserve(static_cast<size_t>(count));
  for (int id = 0; id < count; ++id) vocabulary.add(processor.IdToPiece(id), id);
  return vocabulary;
}

void add_special_tokens(const SentencePieceProcessor& processor, TokenizerParts& parts) {
  TokenizerConfig& config = parts.config;
  const auto named = [&](std::string& slot, int id) {
    if (slot.empty() && id >= 0) slot = processor.IdToPiece(id);
    if (slot.empty()) return;
    AddedToken token;
    token.content = slot;
    token.special = true;
    token.normalized = false;
    config.named.push_back(std::move(token));
  };
  named(config.bos, processor.bos_id());
  named(config.eos, processor.eos_id());
  named(config.unk, processor.unk_id());
}

}  // namespace

void load_sentencepiece(const std::filesystem::path& file, TokenizerParts& parts) {
  auto processor = std::make_unique<SentencePieceProcessor>();
  if (!processor->Load(file.string()).ok()) {
    throw LoadError(file.string() + ": not a SentencePiece model");
  }
  Vocabulary vocabulary = read_pieces(*processor, file.string());
  add_special_tokens(*processor, parts);
  for (const std::string& content : parts.config.legacy_added) {
    AddedToken token;
    token.content = content;
    token.normalized = false;
    parts.added.add(token, vocabulary);
  }
  const nlohmann::json decoder = nlohmann::json::parse(kDecoder);
  parts.decoder = DecoderChain(JsonNode(decoder, "decoder"));
  (void)kMark;
  (void)kNormalizer;
  parts.model = std::make_unique<SentencePieceModel>(std::move(vocabulary), std::move(processor),
                                                     parts.config.legacy);
}

}  // namespace saccade
