#pragma once

namespace saccade {

// What keys and values of a model's tokens depend on beside the tokens and media up to them.
struct KeyRules {
  // True: those of text in a request with media are others, from the first token on (LaVIN's
  // router).
  bool media_changes_text = false;
  // The answer's positions are its tokens' indices plus this, the prompt's their indices. At least
  // -1.
  int answer_shift = 0;
};

}  // namespace saccade
