#pragma once

#include <string>
#include <vector>

#include "server/prompt/text_segment.h"

// What the reference's processors do to the text around pictures before they tokenise it. `token`
// marks a picture's place; only the template's own counts, never what a user wrote.
namespace saccade {

// Of two neighbouring `token`s one goes, as Python's replace(token + token, token) has it.
void drop_doubles(std::vector<TextSegment>& text, const std::string& token);

// A space behind each `token` that a word follows directly, as Python's
// sub(token + "(?=[^\\s<])", token + " ") has it.
void space_words(std::vector<TextSegment>& text, const std::string& token);

// No spaces around a `token`, nor at either end of the text: IdeficsProcessor strips each text of
// its list.
void trim_around(std::vector<TextSegment>& text, const std::string& token);

}  // namespace saccade
