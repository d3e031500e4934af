#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/output/grammar/automaton.h"
#include "server/prompt/tokenizer/tokenizer.h"

namespace saccade::grammar {

// The bytes of a vocabulary's tokens as a tree, so that a mask costs one walk. Special tokens and
// rows of the model's head without a token are in no grammar. Immutable.
class TokenTrie {
 public:
  TokenTrie(const Tokenizer& tokenizer, int vocab_size);

  int vocab_size() const { return static_cast<int>(bytes_.size()); }
  // Empty for tokens that no text is made of.
  const std::string& bytes(TokenId token) const { return bytes_[static_cast<size_t>(token)]; }
  int longest() const { return longest_; }

  // Bit i of the result ([ceil(vocab / 32)] words): token i may follow in `state`.
  std::vector<uint32_t> allowed(Automaton& automaton, int state) const;

 private:
  struct Node {
    uint8_t byte;
    int depth;        // bytes from the root; 1 for the first
    int first_token;  // into tokens_, those that end here
    int last_token;
    int after;  // the next node that is not below this one
  };

  std::vector<std::string> bytes_;  // [vocab]
  std::vector<TokenId> tokens_;     // by their bytes
  std::vector<Node> nodes_;         // a node before those below it
  int longest_ = 0;
};

}  // namespace saccade::grammar
