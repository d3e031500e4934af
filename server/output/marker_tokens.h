#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/output/grammar/compiler.h"

namespace saccade {

// A grammar in which some special tokens, which no grammar allows, stand for the text that they
// spell: what marks a call or ends the reasoning is one token in many vocabularies.
class MarkerTokens : public TokenConstraint {
 public:
  using Marker = std::pair<TokenId, std::string>;

  MarkerTokens(std::vector<Marker> markers, std::unique_ptr<GrammarMatcher> grammar)
      : markers_(std::move(markers)), grammar_(std::move(grammar)) {}

  void fill_mask(uint32_t* mask, int vocab_size) override {
    grammar_->fill_mask(mask, vocab_size);
    for (const auto& [token, text] : markers_) {
      if (token < vocab_size && grammar_->fits(text)) mask[token / 32] |= 1u << (token % 32);
    }
  }

  bool accept(TokenId token) override {
    for (const auto& [marker, text] : markers_) {
      if (marker == token) return grammar_->accept_text(text);
    }
    return grammar_->accept(token);
  }

  bool sits_out() override { return grammar_->sits_out(); }

 private:
  const std::vector<Marker> markers_;
  const std::unique_ptr<GrammarMatcher> grammar_;
};

}  // namespace saccade
