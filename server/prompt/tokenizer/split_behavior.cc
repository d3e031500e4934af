#include "server/prompt/tokenizer/split_behavior.h"

#include <algorithm>

namespace saccade {
namespace {

struct Part {
  MatchSpan span;
  bool delimiter;
};

// Matches and gaps as one gapless list.
std::vector<Part> all_parts(const std::vector<MatchSpan>& matches, size_t size, bool invert) {
  std::vector<Part> parts;
  parts.reserve(matches.size() * 2 + 1);
  size_t last = 0;
  for (const MatchSpan& match : matches) {
    if (match.begin != last) parts.push_back({{last, match.begin}, invert});
    parts.push_back({match, !invert});
    last = match.end;
  }
  if (last != size) parts.push_back({{last, size}, invert});
  return parts;
}

// Joins a part to the one before it where `join(part, previous)`.
template <typename Join>
std::vector<MatchSpan> join_parts(const std::vector<Part>& parts, Join join) {
  std::vector<MatchSpan> out;
  bool previous = false;
  for (const Part& part : parts) {
    if (join(part.delimiter, previous) && !out.empty()) {
      out.back().begin = std::min(out.back().begin, part.span.begin);
      out.back().end = std::max(out.back().end, part.span.end);
    } else {
      out.push_back(part.span);
    }
    previous = part.delimiter;
  }
  return out;
}

std::vector<MatchSpan> cut(std::vector<Part> parts, SplitBehavior behavior) {
  const auto delimiter_behind_word = [](bool now, bool before) { return now && !before; };
  switch (behavior) {
    case SplitBehavior::kContiguous:
      return join_parts(parts, [](bool now, bool before) { return now == before; });
    case SplitBehavior::kMergedWithPrevious:
      return join_parts(parts, delimiter_behind_word);
    case SplitBehavior::kMergedWithNext: {
      std::reverse(parts.begin(), parts.end());
      std::vector<MatchSpan> out = join_parts(parts, delimiter_behind_word);
      std::reverse(out.begin(), out.end());
      return out;
    }
    default: {
      std::vector<MatchSpan> out;
      for (const Part& part : parts) {
        if (behavior == SplitBehavior::kIsolated || !part.delimiter) out.push_back(part.span);
      }
      return out;
    }
  }
}

}  // namespace

SplitBehavior read_split_behavior(const JsonNode& node) {
  const std::string& name = node.string();
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  node.fail("the behavior '" + name + "' is not supported");
}

void split_at(const std::vector<MatchSpan>& matches, size_t size, SplitBehavior behavior,
              bool invert, size_t offset, std::vector<MatchSpan>& words) {
  if (behavior == SplitBehavior::kIsolated) {  // the common case, without the detour
    size_t last = 0;
    for (const MatchSpan& match : matches) {
      if (match.begin != last) words.push_back({last + offset, match.begin + offset});
      if (match.begin != match.end) words.push_back({match.begin + offset, match.end + offset});
      last = match.end;
    }
    if (last != size) words.push_back({last + offset, size + offset});
    return;
  }
  for (const MatchSpan& word : cut(all_parts(matches, size, invert), behavior)) {
    if (word.begin != word.end) words.push_back({word.begin + offset, word.end + offset});
  }
}

}  // namespace saccade
