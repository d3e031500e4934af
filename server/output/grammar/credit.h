#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/core/constraint_error.h"

namespace saccade {

// What following a grammar may cost the engine's thread, which all requests share. Counted in
// places that automata look at, and so the same on every machine. All answers of a request have one
// credit; each token brings some, and what is not used is kept up to a bound. One thread at a time.
class GrammarCredit {
 public:
  // A place takes about 0.3 us. Of the grammars in docs/structured_output.md the dearest token
  // takes 27,000, and the dearest answer 2,100 a token.
  static constexpr int64_t kMost = 120'000;
  static constexpr int64_t kEachToken = 8'000;

  explicit GrammarCredit(int64_t most = kMost) : most_(most), left_(most) {}

  void earn() { left_ = std::min(left_ + kEachToken, most_); }
  // Throws ConstraintError beyond what is left.
  void spend(int64_t places) {
    left_ -= places;
    spent_ += places;
    if (left_ < 0) throw ConstraintError("the grammar of this answer is too ambiguous");
  }
  int64_t spent() const { return spent_; }

 private:
  const int64_t most_;
  int64_t left_;
  int64_t spent_ = 0;
};

}  // namespace saccade
