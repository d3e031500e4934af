#include "server/output/grammar/token_trie.h"

#include <algorithm>

namespace saccade::grammar {

TokenTrie::TokenTrie(const Tokenizer& tokenizer, int vocab_size)
    : bytes_(static_cast<size_t>(vocab_size)) {
  for (TokenId id = 0; id < std::min(vocab_size, tokenizer.vocab_size()); ++id) {
    if (tokenizer.is_special(id)) continue;
    std::string& bytes = bytes_[static_cast<size_t>(id)] = tokenizer.token_bytes(id);
    if (bytes.empty()) continue;
    tokens_.push_back(id);
    longest_ = std::max(longest_, static_cast<int>(bytes.size()));
  }
  std::sort(tokens_.begin(), tokens_.end(), [this](TokenId a, TokenId b) {
    return bytes(a) != bytes(b) ? bytes(a) < bytes(b) : a < b;
  });
  std::vector<size_t> open;  // the nodes that spell the previous token
  std::string previous;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& text = bytes(tokens_[i]);
    size_t common = 0;
    while (common < previous.size() && common < text.size() && previous[common] == text[common]) {
      ++common;
    }
    for (; open.size() > common; open.pop_back()) {
      nodes_[open.back()].after = static_cast<int>(nodes_.size());
    }
    while (open.size() < text.size()) {
      const auto here = static_cast<int>(i);
      open.push_back(nodes_.size());
      nodes_.push_back({static_cast<uint8_t>(text[open.size() - 1]), static_cast<int>(open.size()),
                        here, here, 0});
    }
    nodes_[open.back()].last_token = static_cast<int>(i) + 1;
    previous = text;
  }
  for (const size_t node : open) nodes_[node].after = static_cast<int>(nodes_.size());
}

std::vector<uint32_t> TokenTrie::allowed(Automaton& automaton, int state) const {
  std::vector<uint32_t> mask((bytes_.size() + 31) / 32, 0);
  std::vector<int> at(static_cast<size_t>(longest_) + 1);  // [depth] state after so many bytes
  at[0] = state;
  for (size_t i = 0; i < nodes_.size();) {
    const Node& node = nodes_[i];
    const auto depth = static_cast<size_t>(node.depth);
    const int reached = automaton.step(at[depth - 1], node.byte);
    if (reached == Automaton::kDead) {
      i = static_cast<size_t>(node.after);
      continue;
    }
    at[depth] = reached;
    for (int t = node.first_token; t < node.last_token; ++t) {
      const auto token = static_cast<uint32_t>(tokens_[static_cast<size_t>(t)]);
      mask[token / 32] |= 1u << (token % 32);
    }
    ++i;
  }
  return mask;
}

}  // namespace saccade::grammar
