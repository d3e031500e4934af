#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/types.h"
#include "server/prompt/tokenizer/json_node.h"

namespace saccade {

// Largest id a tokenizer file may name. Bounds the memory that a hostile file can ask for.
inline constexpr int64_t kMaxTokenId = (int64_t{1} << 22) - 1;

// Short strings hash well and fast with this; not made to withstand chosen collisions, which a
// lookup survives (it only gets slower).
uint64_t hash_bytes(std::string_view bytes);

// Pieces and their ids. Open addressing over one block of text: lookups touch two cache lines.
class Vocabulary {
 public:
  Vocabulary() = default;
  // A JSON object piece -> id. Throws LoadError.
  explicit Vocabulary(const JsonNode& node);

  void reserve(size_t pieces);
  // A piece that is there already keeps its id; returns whether it was new.
  bool add(std::string_view piece, TokenId id);
  std::optional<TokenId> find(std::string_view piece) const;
  // The piece of `id`, or none for a hole.
  std::optional<std::string_view> piece(TokenId id) const;
  size_t size() const { return count_; }
  TokenId max_id() const { return static_cast<TokenId>(by_id_.size()) - 1; }
  size_t max_piece_bytes() const { return max_piece_bytes_; }
  // fn(piece, id) for every piece, in the order of the ids.
  template <typename Function>
  void for_each(Function fn) const {
    for (size_t id = 0; id < by_id_.size(); ++id) {
      if (by_id_[id].used) fn(text_of(by_id_[id]), static_cast<TokenId>(id));
    }
  }

 private:
  struct Entry {
    uint32_t offset = 0, length = 0;
    bool used = false;
  };
  struct Slot {
    uint32_t hash = 0;  // upper half of the hash
    TokenId id = -1;    // -1: free
    uint32_t offset = 0, length = 0;
  };
  std::string_view text_of(const Entry& e) const {
    return std::string_view(text_).substr(e.offset, e.length);
  }
  void grow(size_t slots);
  void place(const Slot& slot, uint64_t hash);

  std::string text_;
  std::vector<Entry> by_id_;
  std::vector<Slot> slots_;  // power of two
  size_t count_ = 0;
  size_t max_piece_bytes_ = 0;
};

}  // namespace saccade
