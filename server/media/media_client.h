#pragma once

#include <functional>

namespace saccade {

// Who asks for media. What it asked for is given up between two pictures, and within a fetch, once
// nobody waits for it any more.
struct MediaClient {
  int key = -1;                // the API key whose stored files may be referred to; -1: none
  std::function<bool()> gone;  // none: it always waits

  bool left() const { return gone && gone(); }
};

}  // namespace saccade
