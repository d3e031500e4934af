#include "engine/core/prompt_lookup.h"

#include <algorithm>

namespace saccade {
namespace {

constexpr int kShortestMatch = 2;
constexpr int kLongestMatch = 4;

}  // namespace

void look_up_continuation(std::span<const TokenId> tokens, int most, std::vector<TokenId>& out) {
  const int length = static_cast<int>(tokens.size());
  if (most <= 0 || length < kShortestMatch + 1) return;
  const TokenId last = tokens[length - 1];
  int best = kShortestMatch - 1, follows = -1;
  for (int end = length - 2; end >= kShortestMatch - 1 && best < kLongestMatch; --end) {
    if (tokens[end] != last) continue;
    int match = 1;
    while (match < kLongestMatch && match <= end &&
           tokens[end - match] == tokens[length - 1 - match]) {
      ++match;
    }
    if (match > best) {
      best = match;
      follows = end + 1;
    }
  }
  if (follows < 0) return;
  const int count = std::min(most, length - follows);
  out.insert(out.end(), tokens.begin() + follows, tokens.begin() + follows + count);
}

int DraftLength::allowed(int most) {
  if (waiting_ > 0) {
    --waiting_;
    return 0;
  }
  return std::min(length_, most);
}

void DraftLength::learn(int drafted, int accepted) {
  if (accepted == drafted) {
    length_ = std::min(2 * length_, 1 << 16);
    pause_ = 1;
  } else if (accepted > 0) {
    length_ = std::max(kFirst, accepted + 1);
    pause_ = 1;
  } else {
    length_ = kFirst;
    waiting_ = pause_;
    pause_ = std::min(2 * pause_, kLongestPause);
  }
}

}  // namespace saccade
