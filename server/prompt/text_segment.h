#pragma once

#include <string>

namespace saccade {

// A piece of a prompt and who wrote it. Text of a user never becomes a special token, whatever it
// spells; text of the template does.
struct TextSegment {
  std::string text;  // UTF-8
  bool from_user = false;
};

}  // namespace saccade
