#include "engine/core/prompt_lookup.h"

#include <catch2/catch_test_macros.hpp>
#include <random>

namespace saccade {
namespace {

using Ids = std::vector<TokenId>;

Ids guess(const Ids& tokens, int most) {
  Ids out;
  look_up_continuation(tokens, most, out);
  return out;
}

}  // namespace

TEST_CASE("prompt lookup: what followed the last tokens before") {
  CHECK(guess({1, 2, 3, 4, 5, 9, 2, 3}, 2) == Ids{4, 5});
  CHECK(guess({1, 2, 3, 4, 5, 9, 2, 3}, 8) == Ids{4, 5, 9, 2, 3});  // no further than the text
  CHECK(guess({7, 7, 7}, 4) == Ids{7});
  CHECK(guess({1, 2, 3, 4, 5, 9, 2, 3}, 0).empty());
}

TEST_CASE("prompt lookup: one equal token is not enough") {
  CHECK(guess({1, 2, 3, 9, 2}, 4).empty());
  CHECK(guess({}, 4).empty());
  CHECK(guess({5}, 4).empty());
  CHECK(guess({5, 5}, 4).empty());
}

TEST_CASE("prompt lookup: the longer match wins, then the later one") {
  //          [1 2 3] -> 8     [2 3] -> 9    then 1 2 3
  CHECK(guess({1, 2, 3, 8, 5, 2, 3, 9, 1, 2, 3}, 1) == Ids{8});
  CHECK(guess({2, 3, 8, 5, 2, 3, 9, 6, 2, 3}, 1) == Ids{9});
}

TEST_CASE("prompt lookup: agrees with a plain search on random texts") {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    Ids tokens(random() % 40);
    for (TokenId& t : tokens) t = static_cast<TokenId>(random() % 4);
    const int n = static_cast<int>(tokens.size());
    Ids expected;
    for (int match = 4; match >= 2 && expected.empty(); --match) {
      for (int end = n - 2; end >= match - 1 && expected.empty(); --end) {
        if (!std::equal(tokens.end() - match, tokens.end(), tokens.begin() + end + 1 - match))
          continue;
        for (int i = end + 1; i < std::min(n, end + 4); ++i) expected.push_back(tokens[i]);
      }
    }
    CHECK(guess(tokens, 3) == expected);
  }
}

TEST_CASE("draft length: grows while right, pauses longer and longer while wrong") {
  DraftLength length;
  CHECK(length.allowed(8) == 2);
  length.learn(2, 2);
  CHECK(length.allowed(8) == 4);
  length.learn(4, 4);
  length.learn(8, 8);
  CHECK(length.allowed(8) == 8);
  length.learn(8, 3);
  CHECK(length.allowed(8) == 4);
  length.learn(4, 0);
  CHECK(length.allowed(8) == 0);
  CHECK(length.allowed(8) == 2);

  int guesses = 0;
  for (int step = 0; step < 1000; ++step) {
    if (const int allowed = length.allowed(8); allowed > 0) {
      guesses += allowed;
      length.learn(allowed, 0);
    }
  }
  CHECK(guesses < 60);
  int allowed = 0;
  while (allowed == 0) allowed = length.allowed(8);  // the last pause goes by
  length.learn(allowed, allowed);
  CHECK(length.allowed(8) == 4);
}

}  // namespace saccade
