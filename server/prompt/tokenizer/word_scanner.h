#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "server/prompt/tokenizer/regex.h"

namespace saccade {

// Hand-written matchers of the pre-tokenisation regexes that nearly all byte-level tokenizers use.
// Each cuts a whole text: there is no unmatched character between two matches.
enum class WordScanner {
  kGpt2,    // the regex of GPT-2, which the ByteLevel pre-tokenizer has built in
  kLlama3,  // digits in groups of up to three
  kQwen2,   // single digits
};

// The scanner that matches exactly what `pattern` does, if there is one.
std::optional<WordScanner> scanner_for(std::string_view pattern);

extern const char* const kGpt2Pattern;

void scan_words(WordScanner scanner, std::string_view text, std::vector<MatchSpan>& matches);

}  // namespace saccade
