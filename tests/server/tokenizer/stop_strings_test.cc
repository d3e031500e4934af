#include "server/output/stop_strings.h"

#include <catch2/catch_test_macros.hpp>
#include <optional>
#include <random>

using saccade::StopStringMatcher;

namespace {

struct Outcome {
  std::string text;
  std::optional<std::string> stop;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome run(const std::vector<std::string>& stops, const std::vector<std::string>& parts,
            bool include = false) {
  StopStringMatcher matcher(stops, include);
  Outcome outcome;
  for (const std::string& part : parts) {
    const auto result = matcher.push(part);
    outcome.text += result.text;
    if (result.stopped) outcome.stop = result.which;
  }
  outcome.text += matcher.flush();
  return outcome;
}

// The stop string that is complete first, the longest of those; found in the whole text.
Outcome search(const std::vector<std::string>& stops, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<std::string> best;
    for (const std::string& stop : stops) {
      if (std::string_view(text).substr(0, end).ends_with(stop) &&
          (!best || stop.size() > best->size())) {
        best = stop;
      }
    }
    if (best) return {text.substr(0, end - best->size()), best};
  }
  return {text, std::nullopt};
}

}  // namespace

TEST_CASE("a stop string is found across borders and never shown") {
  CHECK(run({"STOP"}, {"one S", "T", "OP two"}) == Outcome{"one ", "STOP"});
  CHECK(run({"STOP"}, {"one STO", "NE"}) == Outcome{"one STONE", std::nullopt});
  CHECK(run({"STOP"}, {"one STO"}) == Outcome{"one STO", std::nullopt});
  CHECK(run({"\n\n", "###"}, {"a\n", "b##", "#c"}) == Outcome{"a\nb", "###"});
  CHECK(run({"STOP"}, {"a ST", "OP b"}, true) == Outcome{"a STOP", "STOP"});
}

TEST_CASE("only what could be the start of a stop string is held back") {
  StopStringMatcher matcher({"aab"});
  CHECK(matcher.push("xa").text == "x");
  CHECK(matcher.push("a").text.empty());
  CHECK(matcher.push("a").text == "a");  // "aa" may still become "aab"
  const auto result = matcher.push("bzz");
  CHECK(result.stopped);
  CHECK(result.text.empty());
  CHECK(matcher.push("more").text.empty());
  CHECK(matcher.flush().empty());
}

TEST_CASE("no stop strings, or empty ones, hold nothing back") {
  CHECK(StopStringMatcher({}).push("abc").text == "abc");
  CHECK(StopStringMatcher({""}).push("abc").text == "abc");
}

TEST_CASE("the way a text is cut changes nothing") {
  std::mt19937 rng(2);
  const auto letters = [&](size_t most) {
    std::string text(1 + rng() % most, ' ');
    for (char& c : text) c = static_cast<char>('a' + rng() % 2);
    return text;
  };
  for (int i = 0; i < 5000; ++i) {
    const std::vector<std::string> stops = {letters(5), letters(5), letters(6)};
    std::vector<std::string> parts;
    std::string whole;
    for (size_t n = rng() % 8; n > 0; --n) {
      parts.push_back(letters(4));
      whole += parts.back();
    }
    REQUIRE(run(stops, parts) == search(stops, whole));
  }
}
