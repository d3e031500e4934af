#pragma once

#include <span>
#include <vector>

#include "engine/core/types.h"

namespace saccade {

// Guesses how a text goes on from the text itself: the longest run of its last tokens (2 to 4) that
// stood there before says what followed then, the latest such place counting. Costs one backward
// scan. (Prompt lookup decoding, A. Saxena 2023; n-gram speculation in vLLM.)
//
// Appends at most `most` guesses to `out`; none where nothing is repeated.
void look_up_continuation(std::span<const TokenId> tokens, int most, std::vector<TokenId>& out);

// How many guesses a sequence may make, learnt from how its last ones went: doubled when all were
// right, else one more than were; after a step without a single right one it pauses, twice as long
// each time. So a text that does not repeat itself pays for one guess in a while.
class DraftLength {
 public:
  // Guesses allowed in the next step; at most `most`.
  int allowed(int most);
  // What became of the guesses of a step, `drafted` > 0 of them.
  void learn(int drafted, int accepted);

 private:
  static constexpr int kFirst = 2;
  static constexpr int kLongestPause = 64;  // steps

  int length_ = kFirst;
  int pause_ = 1;    // steps after the next miss
  int waiting_ = 0;  // steps left of the present pause
};

}  // namespace saccade
