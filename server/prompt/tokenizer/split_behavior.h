#pragma once

#include <vector>

#include "server/prompt/tokenizer/json_node.h"
#include "server/prompt/tokenizer/regex.h"

namespace saccade {

// What becomes of the delimiters a text is split at.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

SplitBehavior read_split_behavior(const JsonNode& node);

// Cuts [0, size) at `matches` (ordered, not overlapping) and appends the words, moved by `offset`.
// With `invert` the matches are what is kept and the gaps are the delimiters.
void split_at(const std::vector<MatchSpan>& matches, size_t size, SplitBehavior behavior,
              bool invert, size_t offset, std::vector<MatchSpan>& words);

}  // namespace saccade
