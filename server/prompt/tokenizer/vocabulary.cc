#include "server/prompt/tokenizer/vocabulary.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace saccade {

uint64_t hash_bytes(std::string_view bytes) {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15ull;  // 2^64 / golden ratio
  uint64_t hash = bytes.size() * kMultiplier;
  const char* p = bytes.data();
  size_t left = bytes.size();
  const auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 32;
  };
  for (; left >= 8; left -= 8, p += 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    mix(word);
  }
  if (left > 0) {
    uint64_t word = 0;
    std::memcpy(&word, p, left);
    mix(word);
  }
  return hash * kMultiplier;
}

Vocabulary::Vocabulary(const JsonNode& node) {
  if (!node.is_object()) node.fail("expected an object");
  reserve(node.size());
  for (const auto& [piece, id] : node.raw().items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > kMaxTokenId) {
      node.fail("the id of '" + piece + "' is not an integer from 0 to " +
                std::to_string(kMaxTokenId));
    }
    add(piece, static_cast<TokenId>(id.get<int64_t>()));
  }
}

void Vocabulary::reserve(size_t pieces) {
  by_id_.reserve(pieces);
  grow(std::bit_ceil(std::max<size_t>(16, pieces * 2)));
}

void Vocabulary::place(const Slot& slot, uint64_t hash) {
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  while (slots_[at].id >= 0) at = (at + 1) & mask;
  slots_[at] = slot;
}

void Vocabulary::grow(size_t slots) {
  if (slots <= slots_.size()) return;
  std::vector<Slot> old(slots);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.id >= 0) place(slot, hash_bytes({text_.data() + slot.offset, slot.length}));
  }
}

bool Vocabulary::add(std::string_view piece, TokenId id) {
  if (find(piece)) return false;
  grow(std::bit_ceil(std::max<size_t>(16, (count_ + 1) * 2)));
  const auto offset = static_cast<uint32_t>(text_.size());
  const auto length = static_cast<uint32_t>(piece.size());
  text_ += piece;
  const uint64_t hash = hash_bytes(piece);
  place({static_cast<uint32_t>(hash >> 32), id, offset, length}, hash);
  const auto index = static_cast<size_t>(id);
  if (by_id_.size() <= index) by_id_.resize(index + 1);
  by_id_[index] = {offset, length, true};
  max_piece_bytes_ = std::max(max_piece_bytes_, piece.size());
  ++count_;
  return true;
}

std::optional<TokenId> Vocabulary::find(std::string_view piece) const {
  if (slots_.empty()) return std::nullopt;
  const uint64_t hash = hash_bytes(piece);
  const auto upper = static_cast<uint32_t>(hash >> 32);
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask; slots_[at].id >= 0; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.hash == upper && slot.length == piece.size() &&
        std::memcmp(text_.data() + slot.offset, piece.data(), piece.size()) == 0) {
      return slot.id;
    }
  }
  return std::nullopt;
}

std::optional<std::string_view> Vocabulary::piece(TokenId id) const {
  if (id < 0 || static_cast<size_t>(id) >= by_id_.size()) return std::nullopt;
  const Entry& entry = by_id_[static_cast<size_t>(id)];
  if (!entry.used) return std::nullopt;
  return text_of(entry);
}

}  // namespace saccade
