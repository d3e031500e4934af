#include "server/prompt/tokenizer/added_tokens.h"

#include <algorithm>

#include "engine/core/status.h"
#include "server/prompt/tokenizer/unicode.h"

namespace saccade {
namespace {

using unicode::kWordMark;

constexpr size_t kMaxContentBytes = 4096;

bool word_before(std::string_view text, size_t pos) {
  return pos > 0 &&
         unicode::has(unicode::char_at(text, unicode::previous_start(text, pos)), unicode::kWord);
}

bool word_after(std::string_view text, size_t pos) {
  return pos < text.size() && unicode::has(unicode::char_at(text, pos), unicode::kWord);
}

size_t space_begin(std::string_view text, size_t pos, size_t limit) {
  while (pos > limit) {
    const size_t start = unicode::previous_start(text, pos);
    if (!unicode::has(unicode::char_at(text, start), unicode::kSpace)) break;
    pos = start;
  }
  return std::max(pos, limit);
}

size_t space_end(std::string_view text, size_t pos) {
  while (pos < text.size()) {
    size_t next = pos;
    if (!unicode::has(unicode::next_char(text, next), unicode::kSpace)) break;
    pos = next;
  }
  return pos;
}

size_t leading_spaces(std::string_view text) {
  size_t pos = 0;
  while (pos < text.size()) {
    if (text.substr(pos).starts_with(kWordMark)) {
      pos += kWordMark.size();
    } else if (text[pos] == ' ') {
      ++pos;
    } else {
      return pos;
    }
  }
  return 0;  // nothing but spaces: those are the token
}

size_t trailing_spaces_begin(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    if (text.substr(0, end).ends_with(kWordMark)) {
      end -= kWordMark.size();
    } else if (text[end - 1] == ' ') {
      --end;
    } else {
      return end;
    }
  }
  return text.size();
}

}  // namespace

AddedToken read_added_token(const JsonNode& node) {
  AddedToken token;
  if (node.is_string()) {  // special tokens are written as plain strings in older files
    token.content = node.string();
    token.special = true;
    token.normalized = false;
  } else {
    token.content = node.at("content").string();
    token.single_word = node.boolean_or("single_word", false);
    token.lstrip = node.boolean_or("lstrip", false);
    token.rstrip = node.boolean_or("rstrip", false);
    token.special = node.boolean_or("special", false);
    token.normalized = node.boolean_or("normalized", !token.special);
  }
  if (token.content.size() > kMaxContentBytes) {
    node.fail("longer than " + std::to_string(kMaxContentBytes) + " bytes");
  }
  return token;
}

void AddedTokens::Trie::insert(Pattern pattern) {
  if (pattern.text.empty()) return;
  first_byte[static_cast<unsigned char>(pattern.text[0])] = true;
  int at = 0;
  for (const char c : pattern.text) {
    const auto byte = static_cast<unsigned char>(c);
    const auto found = nodes[static_cast<size_t>(at)].next.find(byte);
    if (found != nodes[static_cast<size_t>(at)].next.end()) {
      at = found->second;
      continue;
    }
    const int fresh = static_cast<int>(nodes.size());
    nodes[static_cast<size_t>(at)].next.emplace(byte, fresh);
    nodes.emplace_back();
    at = fresh;
  }
  Node& node = nodes[static_cast<size_t>(at)];
  if (node.pattern >= 0) return;  // the first of equal spellings wins
  node.pattern = static_cast<int>(patterns.size());
  patterns.push_back(std::move(pattern));
}

void AddedTokens::add(const AddedToken& token, const Vocabulary& model) {
  if (token.content.empty()) return;
  if (token.special) special_contents_.insert(token.content);
  const auto known = id_by_content_.find(token.content);
  TokenId id;
  if (known != id_by_content_.end()) {
    id = known->second;
  } else if (const auto in_model = model.find(token.content)) {
    id = *in_model;
  } else {
    id = next_id(model);
    if (id > kMaxTokenId) throw LoadError("added_tokens: too many tokens");
  }
  id_by_content_[token.content] = id;
  if (by_id_.insert_or_assign(id, token).second) max_id_ = std::max(max_id_, id);
  if (known == id_by_content_.end()) order_.push_back(token);
}

// As the reference numbers them: behind the model's vocabulary and all added tokens.
TokenId AddedTokens::next_id(const Vocabulary& model) const {
  const auto model_size = static_cast<TokenId>(model.size());
  return max_id_ >= model_size || model_size == 0 ? max_id_ + 1 : model_size;
}

void AddedTokens::build(const Normalizer* normalizer) {
  std::stable_partition(order_.begin(), order_.end(),
                        [&](const AddedToken& t) { return is_special(t.content); });
  raw_ = Trie();
  normalized_ = Trie();
  for (const AddedToken& listed : order_) {
    const TokenId id = id_by_content_.at(listed.content);
    const AddedToken& token = by_id_.at(id);
    if (!token.normalized) {
      raw_.insert({token.content, 0, token.content.size(), id});
      continue;
    }
    NormalizedText text;
    text.text = token.content;
    if (normalizer) normalizer->apply(text);
    const size_t core = leading_spaces(text.text);
    const size_t core_end = trailing_spaces_begin(text.text);
    normalized_.insert({text.text, core, core_end, id});
  }
}

bool AddedTokens::guarded(TokenId id, const std::unordered_set<TokenId>& protect) const {
  if (!protect.empty() && protect.count(id) > 0) return true;
  const AddedToken* token = find(id);
  return token != nullptr && is_special(token->content);
}

bool AddedTokens::guards_normalized(const std::unordered_set<TokenId>& protect) const {
  return std::any_of(normalized_.patterns.begin(), normalized_.patterns.end(),
                     [&](const Pattern& p) { return guarded(p.id, protect); });
}

std::optional<AddedTokens::Match> AddedTokens::longest_at(
    const Trie& trie, std::string_view text, size_t pos, const std::vector<uint8_t>& from_user,
    const std::unordered_set<TokenId>& protect) const {
  std::optional<Match> best;
  int at = 0;
  for (size_t end = pos; end < text.size();) {
    const Node& node = trie.nodes[static_cast<size_t>(at)];
    const auto next = node.next.find(static_cast<unsigned char>(text[end]));
    if (next == node.next.end()) break;
    at = next->second;
    ++end;
    const int index = trie.nodes[static_cast<size_t>(at)].pattern;
    if (index < 0) continue;
    const Pattern& pattern = trie.patterns[static_cast<size_t>(index)];
    const auto user_byte = [&] {
      const auto* flags = from_user.data() + pos;
      return std::any_of(flags + pattern.core, flags + pattern.core_end,
                         [](uint8_t f) { return f != 0; });
    };
    if (!from_user.empty() && guarded(pattern.id, protect) && user_byte()) continue;
    best = Match{pos, end, &pattern};
  }
  return best;
}

void AddedTokens::split(std::string_view text, const std::vector<uint8_t>& from_user,
                        const std::unordered_set<TokenId>& protect, bool normalized,
                        std::vector<Piece>& pieces) const {
  const Trie& trie = normalized ? normalized_ : raw_;
  size_t last = 0;
  for (size_t pos = 0; pos < text.size() && !trie.patterns.empty();) {
    if (!trie.first_byte[static_cast<unsigned char>(text[pos])]) {
      ++pos;
      continue;
    }
    const auto match = longest_at(trie, text, pos, from_user, protect);
    if (!match) {
      ++pos;
      continue;
    }
    pos = match->end;
    const AddedToken& token = by_id_.at(match->pattern->id);
    if (token.single_word && (word_before(text, match->begin) || word_after(text, match->end))) {
      continue;
    }
    size_t begin = match->begin, end = match->end;
    // The token before may have taken these spaces already.
    if (token.lstrip) begin = std::max(last, space_begin(text, begin, std::min(begin, last)));
    if (token.rstrip) end = space_end(text, end);
    if (last < begin) pieces.push_back({last, begin, -1});
    pieces.push_back({begin, end, match->pattern->id});
    last = end;
  }
  if (last < text.size()) pieces.push_back({last, text.size(), -1});
}

const AddedToken* AddedTokens::find(TokenId id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

std::optional<TokenId> AddedTokens::id_of(const std::string& content) const {
  const auto found = id_by_content_.find(content);
  if (found == id_by_content_.end()) return std::nullopt;
  return found->second;
}

}  // namespace saccade
