// The pieces under the tokenizer: UTF-8, regex translation, scanners, merges, normalizers.
#include <catch2/catch_test_macros.hpp>
#include <random>
#include <string>

#include "engine/core/status.h"
#include "server/prompt/tokenizer/merge_table.h"
#include "server/prompt/tokenizer/normalizer.h"
#include "server/prompt/tokenizer/regex.h"
#include "server/prompt/tokenizer/unicode.h"
#include "server/prompt/tokenizer/word_cache.h"
#include "server/prompt/tokenizer/word_scanner.h"

using namespace saccade;

namespace {

std::string random_text(std::mt19937& rng) {
  static const std::vector<std::string> kParts = {
      "a",  "B",  "é",    "我",     "Ω",      "1",   "٣",   "²",   " ", "  ",
      "\t", "\n", "\r\n", "\u00a0", "\u3000", "'s",  "'S",  "'ll", "'", "ſ",
      "!",  "-",  "😀",    "\u0301", "don't",  "'re", ".\n", "_"};
  std::string text;
  const size_t count = rng() % 24;
  for (size_t i = 0; i < count; ++i) text += kParts[rng() % kParts.size()];
  return text;
}

std::vector<std::string> matches(const Regex& regex, std::string_view text) {
  std::vector<MatchSpan> spans;
  regex.find_all(text, spans);
  std::vector<std::string> out;
  for (const MatchSpan& span : spans)
    out.emplace_back(text.substr(span.begin, span.end - span.begin));
  return out;
}

// Merges by looking through all pairs again after every merge.
void merge_plainly(const MergeTable& table, std::vector<TokenId>& symbols) {
  for (;;) {
    size_t best = 0;
    MergeTable::Merge merge;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = table.find(symbols[i], symbols[i + 1]);
      if (found.rank < merge.rank) {
        merge = found;
        best = i;
      }
    }
    if (merge.rank == MergeTable::kNone) return;
    symbols[best] = merge.id;
    symbols.erase(symbols.begin() + static_cast<long>(best) + 1);
  }
}

}  // namespace

TEST_CASE("ill-formed UTF-8 is cut as the Unicode standard advises") {
  const std::string bad = "\xEF\xBF\xBD";
  CHECK(unicode::to_valid("a\xF0\x9F\x98z") == "a" + bad + "z");  // one for the maximal part
  CHECK(unicode::to_valid("\xE0\x80\x80") == bad + bad + bad);    // overlong
  CHECK(unicode::to_valid("\xED\xA0\x80") == bad + bad + bad);    // a surrogate
  CHECK(unicode::to_valid("\xF4\x90\x80\x80") == bad + bad + bad + bad);
  CHECK(unicode::is_valid("é€😀"));
  CHECK_FALSE(unicode::is_valid("\xC3"));
}

TEST_CASE("scanners match what their regex matches") {
  std::mt19937 rng(4);
  for (const WordScanner scanner :
       {WordScanner::kGpt2, WordScanner::kLlama3, WordScanner::kQwen2}) {
    const std::string tail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    const std::string head = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
    const std::string pattern = scanner == WordScanner::kGpt2     ? kGpt2Pattern
                                : scanner == WordScanner::kLlama3 ? head + R"(\p{N}{1,3})" + tail
                                                                  : head + R"(\p{N})" + tail;
    REQUIRE(scanner_for(pattern) == scanner);
    const Regex fast(pattern, "test"), slow(pattern, "test", false);
    for (int i = 0; i < 3000; ++i) {
      const std::string text = random_text(rng);
      INFO(text);
      REQUIRE(matches(fast, text) == matches(slow, text));
    }
  }
}

TEST_CASE("regexes mean what they mean in Ruby") {
  using Texts = std::vector<std::string>;
  CHECK(matches(Regex(R"(\p{N}{1,2}+)", "test"), "12345") == Texts{"12345"});
  CHECK(matches(Regex(R"((?m:a.b))", "test"), "a\nb") == Texts{"a\nb"});
  CHECK(matches(Regex(R"(^b$)", "test"), "a\nb\nc") == Texts{"b"});
  CHECK(matches(Regex(R"(\x{3000}+)", "test"), "a\u3000\u3000") == Texts{"\u3000\u3000"});
  CHECK(matches(Regex(R"(\s)", "test"), "\u180e\u3000") == Texts{"\u3000"});
  CHECK(matches(Regex(R"(\h+)", "test"), "xyz1f") == Texts{"1f"});
  CHECK(matches(Regex(R"(x*)", "test"), "axb") == Texts{"", "x", ""});
  CHECK(matches(Regex::literal("a.b", "test"), "a.b axb a.ba.b") == Texts{"a.b", "a.b", "a.b"});
  for (const char* pattern : {"(", "[a[b]]", "[a&&b]", "[[:alpha:]]", "a)", "\\", "\\p{L", "}+"}) {
    INFO(pattern);
    CHECK_THROWS_AS(Regex(pattern, "test"), LoadError);
  }
}

TEST_CASE("short and long words merge alike") {
  std::mt19937 rng(9);
  MergeTable table;
  for (uint32_t rank = 0; rank < 400; ++rank) {
    table.set(static_cast<TokenId>(rng() % 40), static_cast<TokenId>(rng() % 40),
              {rank, static_cast<TokenId>(rng() % 60)});
  }
  for (int i = 0; i < 500; ++i) {
    std::vector<TokenId> symbols(rng() % 100);
    for (TokenId& symbol : symbols) symbol = static_cast<TokenId>(rng() % 30);
    std::vector<TokenId> wanted = symbols;
    merge_plainly(table, wanted);
    merge_symbols(table, symbols);
    REQUIRE(symbols == wanted);
  }
}

TEST_CASE("the word cache returns what was stored, or nothing") {
  WordCache cache(4);
  std::vector<TokenId> ids;
  CHECK_FALSE(cache.find("a", 1 << 20, ids));
  cache.store("a", 1 << 20, {9, 5, 6}, 1);
  REQUIRE(cache.find("a", 1 << 20, ids));
  CHECK(ids == std::vector<TokenId>{5, 6});
  CHECK_FALSE(cache.find("b", 1 << 20, ids));           // same slot, other word
  cache.store(std::string(100, 'x'), 1 << 20, {1}, 0);  // too long to keep
  CHECK(cache.find("a", 1 << 20, ids));
}

TEST_CASE("normalizers carry along who wrote what") {
  const nlohmann::json json = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "NFC"}},
        {{"type", "Lowercase"}},
        {{"type", "Replace"}, {"pattern", {{"String", "b"}}}, {"content", "xy"}},
        {{"type", "Prepend"}, {"prepend", "_"}}}}};
  const auto normalizer = make_normalizer(JsonNode(json, "test"));
  NormalizedText text;
  text.text = "Ae\u0301B";           // A, e, a combining accent, B
  text.from_user = {0, 0, 1, 1, 0};  // the accent is the user's
  normalizer->apply(text);
  CHECK(text.text == "_aéxy");
  CHECK(text.from_user == std::vector<uint8_t>{0, 0, 1, 1, 0, 0});
  CHECK(text.at_start);
}

TEST_CASE("a normalizer that takes the start away says so") {
  const nlohmann::json json = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}};
  const auto strip = make_normalizer(JsonNode(json, "test"));
  NormalizedText text{"  a ", {}, true};
  strip->apply(text);
  CHECK(text.text == "a");
  CHECK_FALSE(text.at_start);
}
