#include "server/prompt/tokenizer/tokenizer.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <stdexcept>
#include <thread>

#include "tests/server/tokenizer/test_files.h"

using namespace saccade;
using saccade::testing::added;
using saccade::testing::llama_tokenizer;
using saccade::testing::load;
using saccade::testing::TemporaryFolder;
using Ids = std::vector<TokenId>;

namespace {

constexpr EncodeOptions kBare{.add_special_tokens = false};

Ids encode(const Tokenizer& tokenizer, std::vector<TextSegment> text, Ids protect = {}) {
  return tokenizer.encode(text, kBare, protect);
}

TokenId id(const Tokenizer& tokenizer, std::string_view piece) {
  const auto found = tokenizer.token_id(piece);
  REQUIRE(found);
  return *found;
}

bool contains(const Ids& ids, TokenId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

TEST_CASE("merges follow their ranks and the template adds <s>") {
  const auto tokenizer = load(llama_tokenizer());
  CHECK(tokenizer->encode("abc") == Ids{1, id(*tokenizer, "▁abc")});
  CHECK(encode(*tokenizer, {{"b ca"}}) == Ids{id(*tokenizer, "▁"), id(*tokenizer, "b"),
                                              id(*tokenizer, "▁"), id(*tokenizer, "c"),
                                              id(*tokenizer, "a")});
  CHECK(encode(*tokenizer, {{""}}).empty());
}

TEST_CASE("unknown characters become bytes, ill-formed UTF-8 becomes U+FFFD") {
  const auto tokenizer = load(llama_tokenizer());
  const Ids replaced = encode(*tokenizer, {{"\xEF\xBF\xBD"}});
  CHECK(encode(*tokenizer, {{"\xFF"}}) == replaced);
  CHECK(encode(*tokenizer, {{"\xE2\x82"}}) == replaced);
  CHECK(replaced == Ids{id(*tokenizer, "▁"), id(*tokenizer, "<0xEF>"), id(*tokenizer, "<0xBF>"),
                        id(*tokenizer, "<0xBD>")});
}

TEST_CASE("a user's text never becomes a special token") {
  const auto tokenizer = load(llama_tokenizer());
  const TokenId eos = 2;
  CHECK(contains(encode(*tokenizer, {{"a</s>", false}}), eos));
  CHECK_FALSE(contains(encode(*tokenizer, {{"a</s>", true}}), eos));
  // Not even in part, on either side.
  CHECK_FALSE(contains(encode(*tokenizer, {{"a</", true}, {"s>", false}}), eos));
  CHECK_FALSE(contains(encode(*tokenizer, {{"a</", false}, {"s>", true}}), eos));
  CHECK_FALSE(contains(encode(*tokenizer, {{"</", false}, {"s", true}, {">", false}}), eos));
  // Two segments of the template make one token.
  CHECK(contains(encode(*tokenizer, {{"a</", false}, {"s>", false}}), eos));
  // The template's own token after a user's look-alike.
  CHECK(encode(*tokenizer, {{"</s>", true}, {"</s>", false}}).back() == eos);
}

TEST_CASE("specials that are looked for in normalized text are safe as well") {
  nlohmann::json file = llama_tokenizer();
  file["added_tokens"][2]["normalized"] = true;  // "</s>" is looked for as "▁</s>"
  const auto tokenizer = load(file);
  const TokenId eos = 2;
  CHECK(contains(encode(*tokenizer, {{"a </s>", false}}), eos));
  CHECK_FALSE(contains(encode(*tokenizer, {{"a </s>", true}}), eos));
  CHECK_FALSE(contains(encode(*tokenizer, {{"a </", false}, {"s>", true}}), eos));
  CHECK_FALSE(contains(encode(*tokenizer, {{"a <", true}, {"/s>", false}}), eos));
  // The space in front may be the user's: it is no part of what the token says.
  CHECK(contains(encode(*tokenizer, {{"a ", true}, {"</s>", false}}), eos));
}

TEST_CASE("protected placeholders are found in the template only") {
  const auto tokenizer = load(llama_tokenizer());
  const TokenId image = id(*tokenizer, "<image>");
  CHECK_FALSE(tokenizer->is_special(image));
  CHECK(contains(encode(*tokenizer, {{"<image>", true}}), image));
  CHECK_FALSE(contains(encode(*tokenizer, {{"<image>", true}}, {image}), image));
  const Ids ids = encode(*tokenizer, {{"<image><image>", false}, {"<image>", true}}, {image});
  CHECK(std::count(ids.begin(), ids.end(), image) == 2);
}

TEST_CASE("of overlapping added tokens the longest that is allowed wins") {
  nlohmann::json file = llama_tokenizer();
  file["added_tokens"].push_back(added("<a", false));
  file["added_tokens"].push_back(added("<a>", true));
  const auto tokenizer = load(file);
  CHECK(encode(*tokenizer, {{"<a>", false}}) == Ids{id(*tokenizer, "<a>")});
  CHECK(encode(*tokenizer, {{"<a>", true}}).front() == id(*tokenizer, "<a"));
}

TEST_CASE("truncation keeps room for the template") {
  const auto tokenizer = load(llama_tokenizer());
  const EncodeOptions options{.truncate = true, .max_length = 3};
  CHECK(tokenizer->encode("b b b b", options).size() == 3);
  CHECK(tokenizer->encode("b b b b", options).front() == 1);
  CHECK(tokenizer->encode("b b b b", {.truncate = true}).size() == 9);  // no limit known
  CHECK(tokenizer->encode("b", {.truncate = true, .max_length = 1}) == Ids{1});
}

TEST_CASE("decoding strips the first space, joins bytes and can skip specials") {
  const auto tokenizer = load(llama_tokenizer());
  const Ids ids = tokenizer->encode("a \xF0\x9F\x98\x80 b</s>");
  CHECK(tokenizer->decode(ids, true) == "a \xF0\x9F\x98\x80 b");
  CHECK(tokenizer->decode(ids, false) == "<s> a \xF0\x9F\x98\x80 b</s>");
  CHECK(tokenizer->decode(Ids{-1, 1 << 20}, false).empty());
}

TEST_CASE("what a token spells") {
  const auto tokenizer = load(llama_tokenizer());
  CHECK(tokenizer->token_text(id(*tokenizer, "▁abc")) == "▁abc");
  CHECK(tokenizer->token_bytes(id(*tokenizer, "▁abc")) == " abc");
  CHECK(tokenizer->token_bytes(id(*tokenizer, "<0xE2>")) == "\xE2");
  CHECK(tokenizer->token_bytes(2) == "</s>");
  CHECK(tokenizer->token_bytes(-5).empty());
  CHECK(tokenizer->vocab_size() == 271);
  CHECK_FALSE(tokenizer->token_id("nothing"));
}

TEST_CASE("tokenizer_config.json names and adds tokens") {
  const auto tokenizer =
      load(llama_tokenizer(), {{"bos_token", "<s>"},
                               {"eos_token", added("<|end|>", true)},
                               {"pad_token", nullptr},
                               {"added_tokens_decoder", {{"270", added("<image>", true)}}}});
  CHECK(tokenizer->bos_id() == 1);
  CHECK(tokenizer->eos_token() == "<|end|>");
  CHECK(tokenizer->eos_id() == 271);
  CHECK(tokenizer->is_special(271));
  CHECK_FALSE(tokenizer->pad_id());
  CHECK(tokenizer->is_special(id(*tokenizer, "<image>")));  // the flag of the newer file
}

TEST_CASE("LlamaTokenizer's flags replace the template of tokenizer.json") {
  const nlohmann::json config = {{"tokenizer_class", "LlamaTokenizerFast"},
                                 {"bos_token", "<s>"},
                                 {"eos_token", "</s>"},
                                 {"add_bos_token", false},
                                 {"add_eos_token", true}};
  const auto tokenizer = load(llama_tokenizer(), config);
  CHECK(tokenizer->encode("abc") == Ids{id(*tokenizer, "▁abc"), 2});
}

TEST_CASE("errors at load name the file and the field") {
  using Catch::Matchers::ContainsSubstring;
  using Catch::Matchers::MessageMatches;
  const TemporaryFolder empty;
  CHECK_THROWS_MATCHES(Tokenizer::load(empty.path()), LoadError,
                       MessageMatches(ContainsSubstring("neither tokenizer.json")));
  nlohmann::json file = llama_tokenizer();
  file["model"]["merges"][1] = "b zz";
  CHECK_THROWS_MATCHES(load(file), LoadError,
                       MessageMatches(ContainsSubstring("tokenizer.json: model.merges[1]")));
  file = llama_tokenizer();
  file["decoder"]["decoders"][0]["type"] = "Sorcery";
  CHECK_THROWS_MATCHES(
      load(file), LoadError,
      MessageMatches(ContainsSubstring("decoder.decoders[0].type: the decoder 'Sorcery'")));
  CHECK_THROWS_MATCHES(load(llama_tokenizer(), {{"bos_token", 5}}), LoadError,
                       MessageMatches(ContainsSubstring("tokenizer_config.json: bos_token")));
}

TEST_CASE("a normalizer that doubles a text again and again fails that text alone") {
  auto json = llama_tokenizer();
  const nlohmann::json twice = {
      {"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(1000, 'a')}};
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", {twice, twice, twice, twice, twice}}};
  const auto tokenizer = load(json);
  CHECK_THROWS_AS(tokenizer->encode("a"), std::length_error);
  CHECK(encode(*tokenizer, {{"b"}}) == Ids{id(*tokenizer, "b")});
}

TEST_CASE("many threads get what one gets") {
  const auto tokenizer = load(llama_tokenizer());
  const std::string text = "abc a bc </s> \xC3\xA9 cab abc abc b";
  const Ids wanted = tokenizer->encode(text);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 200; ++round) {
        // Other words in between take the cache slots away.
        tokenizer->encode(std::string(static_cast<size_t>(1 + (round * 7 + i) % 40), 'b'));
        if (tokenizer->encode(text) != wanted) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}
