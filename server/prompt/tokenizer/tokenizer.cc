#include "server/prompt/tokenizer/tokenizer.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "server/prompt/tokenizer/tokenizer_parts.h"
#include "server/prompt/tokenizer/unicode.h"

namespace saccade {

struct Tokenizer::Impl {
  TokenizerParts parts;
  std::unordered_set<TokenId> special_ids;

  using Protect = std::unordered_set<TokenId>;
  using Origins = std::vector<uint8_t>;  // one per byte: 1 for a user's; empty: nobody's

  void encode_text(std::string_view text, const Origins& origins, const Protect& protect,
                   std::vector<TokenId>& ids) const;
  void encode_plain(std::string_view text, Origins origins, bool at_start, const Protect& protect,
                    std::vector<TokenId>& ids) const;
  void encode_words(std::string text, bool at_start, std::vector<TokenId>& ids) const;
  void truncate(std::vector<TokenId>& ids, const EncodeOptions& options) const;
  std::vector<TokenId> finish(std::vector<TokenId> ids, const EncodeOptions& options) const;
  void find_special_ids();
  std::optional<std::string_view> piece(TokenId id) const;
  std::optional<TokenId> id_of(const std::string& content) const;
};

std::optional<std::string_view> Tokenizer::Impl::piece(TokenId id) const {
  if (const AddedToken* token = parts.added.find(id)) return token->content;
  return parts.model->vocabulary().piece(id);
}

std::optional<TokenId> Tokenizer::Impl::id_of(const std::string& content) const {
  if (content.empty()) return std::nullopt;
  const auto id = parts.added.id_of(content);
  return id ? id : parts.model->vocabulary().find(content);
}

void Tokenizer::Impl::find_special_ids() {
  for (TokenId id = 0; id <= parts.added.max_id(); ++id) {
    const AddedToken* token = parts.added.find(id);
    if (token && parts.added.is_special(token->content)) special_ids.insert(id);
  }
}

// Cuts the text at the added tokens that are looked for as they are.
void Tokenizer::Impl::encode_text(std::string_view text, const Origins& origins,
                                  const Protect& protect, std::vector<TokenId>& ids) const {
  std::vector<AddedTokens::Piece> pieces;
  parts.added.split(text, origins, protect, false, pieces);
  const bool track = !origins.empty() && parts.added.guards_normalized(protect);
  for (const AddedTokens::Piece& piece : pieces) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
      continue;
    }
    Origins part;
    if (track) {
      part.assign(origins.begin() + static_cast<long>(piece.begin),
                  origins.begin() + static_cast<long>(piece.end));
    }
    encode_plain(text.substr(piece.begin, piece.end - piece.begin), std::move(part),
                 piece.begin == 0, protect, ids);
  }
}

// Normalizes and cuts at the added tokens that are looked for in normalized text.
void Tokenizer::Impl::encode_plain(std::string_view text, Origins origins, bool at_start,
                                   const Protect& protect, std::vector<TokenId>& ids) const {
  NormalizedText normal{std::string(text), std::move(origins), at_start};
  if (parts.normalizer) parts.normalizer->apply(normal);
  std::vector<AddedTokens::Piece> pieces;
  parts.added.split(normal.text, normal.from_user, protect, true, pieces);
  for (const AddedTokens::Piece& piece : pieces) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
    } else if (pieces.size() == 1) {
      encode_words(std::move(normal.text), normal.at_start, ids);
    } else {
      encode_words(normal.text.substr(piece.begin, piece.end - piece.begin),
                   normal.at_start && piece.begin == 0, ids);
    }
  }
}

void Tokenizer::Impl::encode_words(std::string text, bool at_start,
                                   std::vector<TokenId>& ids) const {
  SplitText split;
  split.words.push_back({0, text.size()});
  split.text = std::move(text);
  split.at_start = at_start;
  if (parts.pre_tokenizer.steps) parts.pre_tokenizer.steps->apply(split);
  const std::string_view all = split.text;
  for (const MatchSpan& word : split.words) {
    parts.model->tokenize(all.substr(word.begin, word.end - word.begin), ids);
  }
}

void Tokenizer::Impl::truncate(std::vector<TokenId>& ids, const EncodeOptions& options) const {
  if (!options.truncate) return;
  size_t limit =
      options.max_length > 0 ? static_cast<size_t>(options.max_length) : parts.max_length;
  if (limit == 0) return;
  const size_t added = options.add_special_tokens ? parts.post_processor.added_count() : 0;
  limit -= std::min(limit, added);
  if (ids.size() <= limit) return;
  const auto excess = static_cast<long>(ids.size() - limit);
  if (parts.truncate_left) {
    ids.erase(ids.begin(), ids.begin() + excess);
  } else {
    ids.erase(ids.end() - excess, ids.end());
  }
}

std::vector<TokenId> Tokenizer::Impl::finish(std::vector<TokenId> ids,
                                             const EncodeOptions& options) const {
  truncate(ids, options);
  return options.add_special_tokens ? parts.post_processor.apply(std::move(ids)) : ids;
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::unique_ptr<Tokenizer> Tokenizer::load(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>();
  impl->parts = load_tokenizer_parts(path);
  impl->find_special_ids();
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(impl)));
}

std::vector<TokenId> Tokenizer::encode(std::span<const TextSegment> text,
                                       const EncodeOptions& options,
                                       std::span<const TokenId> protect) const {
  std::string all;
  Impl::Origins origins;
  const bool mixed =
      std::any_of(text.begin(), text.end(), [](const TextSegment& s) { return s.from_user; });
  for (const TextSegment& segment : text) {
    all += unicode::is_valid(segment.text) ? segment.text : unicode::to_valid(segment.text);
    if (mixed) origins.resize(all.size(), segment.from_user ? 1 : 0);
  }
  std::vector<TokenId> ids;
  ids.reserve(all.size() / 3 + 16);
  impl_->encode_text(all, origins, {protect.begin(), protect.end()}, ids);
  return impl_->finish(std::move(ids), options);
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  const TextSegment segment{std::string(text), false};
  return encode(std::span(&segment, 1), options);
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  DecoderChain::Run run(impl_->parts.decoder, DecodeMode::kList);
  std::string out;
  for (const TokenId id : ids) {
    if (skip_special_tokens && is_special(id)) continue;
    if (const auto piece = impl_->piece(id)) run.push(*piece, out);
  }
  run.finish(out);
  return out;
}

std::string Tokenizer::token_text(TokenId id) const {
  return std::string(impl_->piece(id).value_or(""));
}

std::string Tokenizer::token_bytes(TokenId id) const {
  const auto piece = impl_->piece(id);
  if (!piece) return "";
  return is_special(id) ? std::string(*piece) : impl_->parts.decoder.spell(*piece);
}

std::optional<TokenId> Tokenizer::token_id(std::string_view piece) const {
  return impl_->id_of(std::string(piece));
}

bool Tokenizer::is_special(TokenId id) const { return impl_->special_ids.count(id) > 0; }

bool Tokenizer::is_added(TokenId id) const { return impl_->parts.added.find(id) != nullptr; }

int Tokenizer::vocab_size() const {
  return std::max(impl_->parts.model->vocabulary().max_id(), impl_->parts.added.max_id()) + 1;
}

const std::string& Tokenizer::bos_token() const { return impl_->parts.config.bos; }
const std::string& Tokenizer::eos_token() const { return impl_->parts.config.eos; }
const std::string& Tokenizer::pad_token() const { return impl_->parts.config.pad; }
const std::string& Tokenizer::unk_token() const { return impl_->parts.config.unk; }
std::optional<TokenId> Tokenizer::bos_id() const { return impl_->id_of(bos_token()); }
std::optional<TokenId> Tokenizer::eos_id() const { return impl_->id_of(eos_token()); }
std::optional<TokenId> Tokenizer::pad_id() const { return impl_->id_of(pad_token()); }
std::optional<TokenId> Tokenizer::unk_id() const { return impl_->id_of(unk_token()); }

const DecoderChain& Tokenizer::decoder() const { return impl_->parts.decoder; }

}  // namespace saccade
