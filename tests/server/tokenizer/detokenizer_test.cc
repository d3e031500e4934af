#include "server/prompt/tokenizer/detokenizer.h"

#include <catch2/catch_test_macros.hpp>

#include "tests/server/tokenizer/test_files.h"

using namespace saccade;
using saccade::testing::llama_tokenizer;
using saccade::testing::load;
using Texts = std::vector<std::string>;

namespace {

// What each piece releases, then what the end does.
Texts stream(const Tokenizer& tokenizer, const Texts& pieces, std::vector<TokenId> tail = {}) {
  StreamDetokenizer run(tokenizer, true, std::move(tail));
  Texts out;
  for (const std::string& piece : pieces) {
    const auto id = tokenizer.token_id(piece);
    REQUIRE(id);
    out.push_back(run.push(*id));
  }
  out.push_back(run.flush());
  return out;
}

}  // namespace

TEST_CASE("a stream keeps its spaces, but for the first") {
  const auto tokenizer = load(llama_tokenizer());
  CHECK(stream(*tokenizer, {"▁a", "▁a", "▁", "▁a", "bc"}) == Texts{"a", " a", " ", " a", "bc", ""});
  // A stream that goes on after a prompt keeps the first one as well.
  CHECK(stream(*tokenizer, {"▁a", "bc"}, {*tokenizer->token_id("a")}) == Texts{" a", "bc", ""});
}

TEST_CASE("characters made of bytes appear when they are whole") {
  const auto tokenizer = load(llama_tokenizer());
  CHECK(stream(*tokenizer, {"<0xC3>", "<0xA9>", "<0x0A>", "a"}) == Texts{"", "é", "\n", "a", ""});
  CHECK(stream(*tokenizer, {"a", "<0xE2>", "<0x82>", "<0xAC>"}) == Texts{"a", "", "", "€", ""});
}

TEST_CASE("an unfinished character at the end is dropped") {
  const auto tokenizer = load(llama_tokenizer());
  CHECK(stream(*tokenizer, {"a", "<0xE2>", "<0x82>"}) == Texts{"a", "", "", ""});
}

TEST_CASE("bytes that can never become a character are replaced at once") {
  const auto tokenizer = load(llama_tokenizer());
  const std::string bad = "\xEF\xBF\xBD";
  CHECK(stream(*tokenizer, {"<0xFF>", "a"}) == Texts{bad, "a", ""});
  // As in a decode of the whole: one per byte of the broken run.
  CHECK(stream(*tokenizer, {"<0xE2>", "<0x28>", "<0x41>", "a"}) ==
        Texts{"", bad + bad, bad, "a", ""});
  CHECK(stream(*tokenizer, {"<0xE2>", "a"}) == Texts{"", bad + "a", ""});
}

TEST_CASE("special tokens are skipped or shown") {
  const auto tokenizer = load(llama_tokenizer());
  CHECK(stream(*tokenizer, {"a", "</s>", "b"}) == Texts{"a", "", "b", ""});
  StreamDetokenizer shown(*tokenizer, false);
  CHECK(shown.push(2) == "</s>");
  CHECK(shown.push(-1).empty());
  CHECK(shown.flush().empty());
}
