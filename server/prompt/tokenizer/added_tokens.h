#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/core/types.h"
#include "server/prompt/tokenizer/json_node.h"
#include "server/prompt/tokenizer/normalizer.h"
#include "server/prompt/tokenizer/vocabulary.h"

namespace saccade {

// A token that is looked for in the text before the model sees it.
struct AddedToken {
  std::string content;
  bool single_word = false;  // only where no word character stands beside it
  bool lstrip = false;       // takes the white space on its left along
  bool rstrip = false;       // and on its right
  bool normalized = true;    // looked for in the normalized text, in its normalized spelling
  bool special = false;      // not part of a plain decode; never found in a user's text
};

AddedToken read_added_token(const JsonNode& node);

class AddedTokens {
 public:
  // A stretch of text: a token, or text between tokens (id < 0).
  struct Piece {
    size_t begin, end;  // bytes
    TokenId id;
  };

  // Gives the token the id of its content in `model`, else the next free one. A token that is there
  // already takes the new flags.
  void add(const AddedToken& token, const Vocabulary& model);
  // The id that add() gives to a token of a new spelling.
  TokenId next_id(const Vocabulary& model) const;
  // Call once after the last add().
  void build(const Normalizer* normalizer);

  // Cuts `text` at the tokens with the given `normalized` flag, the longest of those that start at
  // the leftmost place. `from_user` is empty or has one flag per byte of `text`: a special or
  // protected token must not take its spelling from bytes with the flag set.
  void split(std::string_view text, const std::vector<uint8_t>& from_user,
             const std::unordered_set<TokenId>& protect, bool normalized,
             std::vector<Piece>& pieces) const;

  const AddedToken* find(TokenId id) const;
  std::optional<TokenId> id_of(const std::string& content) const;
  bool is_special(std::string_view content) const {
    return special_contents_.count(std::string(content)) > 0;
  }
  // Whether a special or protected token is looked for in normalized text.
  bool guards_normalized(const std::unordered_set<TokenId>& protect) const;
  TokenId max_id() const { return max_id_; }
  size_t size() const { return by_id_.size(); }

 private:
  // What is looked for: a token's spelling, of which [core, core_end) is its own and the rest
  // spaces that a normalizer put around it.
  struct Pattern {
    std::string text;
    size_t core, core_end;
    TokenId id;
  };
  struct Node {
    int pattern = -1;
    std::unordered_map<unsigned char, int> next;
  };
  struct Trie {
    std::vector<Node> nodes{1};
    std::vector<Pattern> patterns;
    bool first_byte[256] = {};
    void insert(Pattern pattern);
  };
  struct Match {
    size_t begin, end;
    const Pattern* pattern;
  };

  std::optional<Match> longest_at(const Trie& trie, std::string_view text, size_t pos,
                                  const std::vector<uint8_t>& from_user,
                                  const std::unordered_set<TokenId>& protect) const;
  bool guarded(TokenId id, const std::unordered_set<TokenId>& protect) const;

  std::vector<AddedToken> order_;  // as given, special ones first
  std::unordered_map<TokenId, AddedToken> by_id_;
  std::unordered_map<std::string, TokenId> id_by_content_;
  std::unordered_set<std::string> special_contents_;
  Trie raw_, normalized_;
  TokenId max_id_ = -1;
};

}  // namespace saccade
