#pragma once

#include <algorithm>
#include <memory>

#include "engine/core/request.h"

namespace saccade {

// The answer begins with one given token, a special one that no grammar allows; then `rest` holds.
class ForcedStart : public TokenConstraint {
 public:
  ForcedStart(TokenId first, std::shared_ptr<TokenConstraint> rest)
      : first_(first), rest_(std::move(rest)) {}

  void fill_mask(uint32_t* mask, int vocab_size) override {
    if (begun_) return rest_->fill_mask(mask, vocab_size);
    std::fill(mask, mask + (vocab_size + 31) / 32, 0u);
    mask[first_ / 32] |= 1u << (first_ % 32);
  }

  bool accept(TokenId token) override {
    if (begun_) return rest_->accept(token);
    begun_ = true;
    return token == first_;
  }

 private:
  const TokenId first_;
  const std::shared_ptr<TokenConstraint> rest_;
  bool begun_ = false;
};

}  // namespace saccade
