#include "server/prompt/prompt_builder.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "server/prompt/tool_prompt.h"
#include "tests/server/tokenizer/test_files.h"

namespace {

using namespace saccade;

// A builder over the tiny LLaVA's tokenizer, with any template and rule.
struct Bench {
  explicit Bench(const char* template_source,
                 MediaPlacement placement = MediaPlacement::kAtPlaceholder) {
    tokenizer = Tokenizer::load("tests/golden/llava");
    info.placement = placement;
    info.image_token = *tokenizer->token_id("<image>");
    info.max_images = 2;
    info.image_tokens = [](const MediaLayout& layout) { return layout.original.height; };
    if (template_source != nullptr) {
      auto result = ChatTemplate::parse(template_source);
      REQUIRE(result.ok());
      templates.chat = *std::move(result);
    }
    make();
  }
  // Again, with another `info`.
  void make() {
    builder = std::make_unique<PromptBuilder>(info, tokenizer, nullptr, templates,
                                              TemplateGlobals{"<s>", "</s>"});
  }
  std::vector<TokenId> ids(const std::string& text) const {  // as the template's own words
    return tokenizer->encode(text, {.add_special_tokens = false});
  }

  ModelInfo info;
  std::shared_ptr<const Tokenizer> tokenizer;
  ModelTemplates templates;
  std::unique_ptr<PromptBuilder> builder;
};

ChatMessage user(const std::string& text, int images = 0) {
  ChatMessage message;
  message.role = "user";
  message.plain_string = images == 0;
  for (int i = 0; i < images; ++i) message.parts.push_back({ContentPart::Kind::kImage, "x", {}});
  message.parts.push_back({ContentPart::Kind::kText, text, {}});
  return message;
}

MediaLayout picture(int tokens) {
  MediaLayout layout;
  layout.original = {tokens, 1};
  return layout;
}

Conversation chat(std::vector<ChatMessage> messages) {
  Conversation conversation;
  conversation.messages = std::move(messages);
  return conversation;
}

constexpr const char* kParts =
    "{% for m in messages %}{% for p in m['content'] %}{% if p['type'] == 'image' %}<image>"
    "{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endfor %}";
constexpr const char* kStrings = "{% for m in messages %}{{ m['content'] }}{% endfor %}";
constexpr const char* kWithBos =
    "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}";

}  // namespace

TEST_CASE("each placeholder of the template grows to its picture's tokens") {
  const Bench bench(kParts);
  const MediaLayout sizes[] = {picture(3), picture(2)};
  const auto prompt = bench.builder->build(chat({user("and", 1), user("or", 1)}), sizes);
  REQUIRE(prompt.ok());
  REQUIRE(prompt->spans.size() == 2);
  CHECK(prompt->spans[0].length == 3);
  CHECK(prompt->spans[1].length == 2);
  CHECK(prompt->image_tokens == 5);
  CHECK(std::count(prompt->ids.begin(), prompt->ids.end(), bench.info.image_token) == 5);
  for (const MediaSpan& span : prompt->spans) {
    for (int i = 0; i < span.length; ++i) {
      CHECK(prompt->ids[span.position + i] == bench.info.image_token);
    }
  }
}

TEST_CASE("a picture becomes a text with several runs of visual tokens") {
  Bench bench(kParts);
  bench.info.image_text = [](const MediaLayout& layout, const std::string& placeholder) {
    std::string text = "[";
    for (int i = 0; i < layout.original.height; ++i) text += placeholder + placeholder + "|";
    return text + "]";
  };
  bench.info.image_tokens = [](const MediaLayout& layout) { return 2 * layout.original.height; };
  bench.make();
  const MediaLayout pictures[] = {picture(2), picture(1)};
  const auto prompt = bench.builder->build(chat({user("and", 1), user("<image>", 1)}), pictures);
  REQUIRE(prompt.ok());
  std::vector<TokenId> expected = bench.ids("[<image><image>|<image><image>|]and[<image><image>|]");
  expected.insert(expected.begin(), 1);  // the processor's BOS
  REQUIRE(prompt->ids.size() > expected.size());
  CHECK(std::equal(expected.begin(), expected.end(), prompt->ids.begin()));
  CHECK(std::count(prompt->ids.begin(), prompt->ids.end(), bench.info.image_token) == 6);
  REQUIRE(prompt->spans.size() == 3);
  const int media[] = {0, 0, 1}, offset[] = {0, 2, 0};
  for (int i = 0; i < 3; ++i) {
    CHECK(prompt->spans[i].length == 2);
    CHECK(prompt->spans[i].media == media[i]);
    CHECK(prompt->spans[i].offset == offset[i]);
    CHECK(prompt->ids[prompt->spans[i].position] == bench.info.image_token);
  }
}

TEST_CASE("of two neighbouring boundary tokens of the template one is dropped") {
  Bench bench(
      "{% for m in messages %}{% for p in m['content'] %}{% if p['type'] == 'image' %}"
      "</s><image></s>{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endfor %}");
  bench.info.single_token = "</s>";
  bench.make();
  const auto count = [&](const std::vector<ChatMessage>& messages, int pictures) {
    const std::vector<MediaLayout> layouts(pictures, picture(1));
    const auto prompt = bench.builder->build(chat(messages), layouts);
    REQUIRE(prompt.ok());
    return std::count(prompt->ids.begin(), prompt->ids.end(), 2);
  };
  CHECK(count({user("", 2)}, 2) == 3);                // between neighbours in one message
  CHECK(count({user("", 1), user("", 1)}, 2) == 3);   // and in two
  CHECK(count({user("x", 1), user("", 1)}, 2) == 4);  // a user's word stands between
}

TEST_CASE(
    "a space stands between a boundary token and a word behind it where the model wants one") {
  Bench bench(
      "{% for m in messages %}{% for p in m['content'] %}{% if p['type'] == 'image' %}"
      "<image></s>{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endfor %}");
  bench.info.single_token = "</s>";
  const auto ids = [&](const char* words, bool spaced) {
    bench.info.space_behind_single_token = spaced;
    bench.make();
    const MediaLayout pictures[] = {picture(1)};
    const auto prompt = bench.builder->build(chat({user(words, 1)}), pictures);
    REQUIRE(prompt.ok());
    return prompt->ids;
  };
  CHECK(ids("x", true).size() == ids("x", false).size() + 1);
  CHECK(ids(" x", true) == ids(" x", false));
  CHECK(ids("<x", true) == ids("<x", false));
  CHECK(ids("", true) == ids("", false));
}

TEST_CASE("spaces around a boundary token and at both ends go where the processor strips them") {
  Bench bench(
      "{% for m in messages %}{{ ' A: ' }}{% for p in m['content'] %}"
      "{% if p['type'] == 'image' %}{{ ' </s><image></s> ' }}{% else %}{{ p['text'] }}{% endif %}"
      "{% endfor %}{% endfor %}");
  bench.info.single_token = "</s>";
  bench.info.trims_around_pictures = bench.info.bos_as_text = true;
  bench.make();
  const MediaLayout pictures[] = {picture(1)};
  const auto prompt = bench.builder->build(chat({user("  x y  ", 1)}), pictures);
  REQUIRE(prompt.ok());
  CHECK(prompt->ids == bench.ids("<s>A:</s><image></s>x y"));
  const auto words = bench.builder->build(chat({user(" x ")}), {});
  REQUIRE(words.ok());
  CHECK(words->ids == bench.ids("<s>A:  x"));
  CHECK(bench.builder->build_text("x", true).ids == bench.ids("<s>x"));
  CHECK(bench.builder->build_text("x", false).ids == bench.ids("x"));
}

TEST_CASE("beside the prompt: a picture is looked at up to the next one or an end token") {
  Bench bench(
      "{% for m in messages %}{% for p in m['content'] %}{% if p['type'] == 'image' %}<image>"
      "{% else %}{{ p['text'] }}{% endif %}{% endfor %}{{ '</s>' }}{% endfor %}",
      MediaPlacement::kBesidePrompt);
  bench.info.image_tokens = [](const MediaLayout& layout) { return layout.original.height; };
  const MediaLayout pictures[] = {picture(4), picture(7)};
  const auto spans = [&](bool hides) {
    bench.info.end_token_hides_pictures = hides;
    bench.make();
    const auto prompt =
        bench.builder->build(chat({user("x", 1), user("y"), user("z", 1)}), pictures);
    REQUIRE(prompt.ok());
    CHECK(prompt->image_tokens == 2);
    REQUIRE(prompt->spans.size() == 2);
    CHECK(prompt->spans[0].memory_rows == 4);
    CHECK(prompt->spans[1].memory_rows == 7);
    CHECK(prompt->spans[1].media == 1);
    for (const MediaSpan& span : prompt->spans) {
      CHECK(prompt->ids[span.position] == bench.info.image_token);
    }
    CHECK(prompt->spans[1].position + prompt->spans[1].length == int(prompt->ids.size()));
    return std::pair(prompt->ids, prompt->spans[0]);
  };
  const auto [all, until_next] = spans(false);
  CHECK(all[until_next.position + until_next.length] == bench.info.image_token);
  const auto [same, until_end] = spans(true);
  CHECK(same[until_end.position + until_end.length - 1] == 2);
  CHECK(until_end.length < until_next.length);
}

TEST_CASE("a placeholder that words hide from the tokenizer is refused") {
  auto json = nlohmann::json::parse(std::ifstream("tests/golden/llava/tokenizer.json"));
  for (auto& token : json["added_tokens"]) token["single_word"] = true;
  for (const MediaPlacement placement :
       {MediaPlacement::kAtPlaceholder, MediaPlacement::kBesidePrompt}) {
    Bench bench(kParts, placement);
    bench.tokenizer = testing::load(json);
    bench.make();
    const MediaLayout sizes[] = {picture(1)};
    CHECK(bench.builder->build(chat({user(" alone", 1)}), sizes).ok());
    const auto prompt = bench.builder->build(chat({user("word", 1)}), sizes);
    REQUIRE(!prompt.ok());
    CHECK(prompt.status().code() == StatusCode::kInvalidArgument);
    CHECK(prompt.status().param() == "messages");
    CHECK(prompt.status().message().find("<image>") != std::string::npos);
  }
}

TEST_CASE("a picture without visual tokens is refused") {
  const Bench bench(kParts);
  const MediaLayout pictures[] = {picture(0)};
  const auto prompt = bench.builder->build(chat({user("x", 1)}), pictures);
  REQUIRE_FALSE(prompt.ok());
  CHECK(prompt.status().param() == "messages");
}

TEST_CASE("a template of strings gets the placeholder in front of the words") {
  const Bench bench(kStrings);
  const MediaLayout sizes[] = {picture(1)};
  const auto prompt = bench.builder->build(chat({user("What?", 1)}), sizes);
  REQUIRE(prompt.ok());
  std::vector<TokenId> expected = bench.ids("<image>\nWhat?");
  expected.insert(expected.begin(), 1);  // the processor's BOS
  CHECK(prompt->ids == expected);
}

TEST_CASE("text that spells a placeholder or a special token stays text") {
  for (const char* source : {kParts, kStrings}) {
    const Bench bench(source);
    const auto prompt = bench.builder->build(chat({user("<image></s><s>")}), {});
    REQUIRE(prompt.ok());
    CHECK(std::count(prompt->ids.begin(), prompt->ids.end(), bench.info.image_token) == 0);
    CHECK(std::count(prompt->ids.begin(), prompt->ids.end(), 2) == 0);
    CHECK(std::count(prompt->ids.begin(), prompt->ids.end(), 1) == 1);  // BOS alone
    CHECK(bench.tokenizer->decode(prompt->ids, true).find("<image></s><s>") != std::string::npos);
  }
  const Bench bench(kParts);
  const Prompt raw = bench.builder->build_text("a<image></s>", false);
  CHECK(std::count(raw.ids.begin(), raw.ids.end(), bench.info.image_token) == 0);
  CHECK(std::count(raw.ids.begin(), raw.ids.end(), 2) == 0);
}

TEST_CASE("BOS is there once, whoever writes it") {
  const auto bos_count = [](const Bench& bench) {
    const auto prompt = bench.builder->build(chat({user("hi")}), {});
    REQUIRE(prompt.ok());
    return std::count(prompt->ids.begin(), prompt->ids.end(), 1);
  };
  CHECK(bos_count(Bench(kStrings)) == 1);                         // the processor
  CHECK(bos_count(Bench(kWithBos)) == 1);                         // the template
  CHECK(bos_count(Bench(nullptr, MediaPlacement::kNone)) == 1);   // the tokenizer
  CHECK(bos_count(Bench(kStrings, MediaPlacement::kNone)) == 0);  // text alone: only the template
}

TEST_CASE("pictures before the prompt come before BOS") {
  const Bench bench(nullptr, MediaPlacement::kBeforePrompt);
  const MediaLayout sizes[] = {picture(2), picture(1)};
  const auto prompt = bench.builder->build(chat({user("one", 1), user("two", 1)}), sizes);
  REQUIRE(prompt.ok());
  CHECK(std::count(prompt->ids.begin(), prompt->ids.begin() + 3, bench.info.image_token) == 3);
  CHECK(prompt->ids[3] == 1);
  CHECK(bench.tokenizer->decode(prompt->ids, true) == "one\ntwo");
  CHECK(prompt->spans[1].position == 2);
  CHECK(prompt->spans[1].media == 1);
}

TEST_CASE("pictures that do not fit the template or the model are refused") {
  const MediaLayout sizes[] = {picture(1), picture(1), picture(1)};
  const Bench bench(kParts);
  const auto too_many = bench.builder->build(chat({user("x", 3)}), sizes);
  REQUIRE_FALSE(too_many.ok());
  CHECK(too_many.status().param() == "messages");
  CHECK(too_many.status().message().find('3') != std::string::npos);
  const Bench blind("{{ messages[0]['content'][-1]['text'] }}");
  const auto unseen = blind.builder->build(chat({user("x", 1)}), {sizes, 1});
  REQUIRE_FALSE(unseen.ok());
  CHECK(unseen.status().param() == "messages");
}

TEST_CASE("a template's own error is quoted") {
  const Bench bench(
      "{% if messages|length > 1 %}{{ raise_exception('one turn only') }}{% endif %}"
      "{{ messages[0]['content'] }}");
  const auto prompt = bench.builder->build(chat({user("a"), user("b")}), {});
  REQUIRE_FALSE(prompt.ok());
  CHECK(prompt.status().message().find("one turn only") != std::string::npos);
  CHECK(prompt.status().param() == "messages");
}

TEST_CASE("a final message can be left open") {
  const Bench bench(
      "{% for m in messages %}[{{ m['content'] }}]{% endfor %}{% if add_generation_prompt %}A:{% "
      "endif %}",
      MediaPlacement::kNone);
  Conversation conversation = chat({user("a"), user("b c ")});
  conversation.add_generation_prompt = false;
  conversation.continue_final_message = true;
  const auto prompt = bench.builder->build(conversation, {});
  REQUIRE(prompt.ok());
  CHECK(prompt->ids == bench.ids("[a][b c "));
}

TEST_CASE("template variables of the request do not replace the server's own") {
  const Bench bench("{{ mood }}{{ messages[0]['content'] }}", MediaPlacement::kNone);
  Conversation conversation = chat({user("hi")});
  conversation.template_kwargs = {{"mood", "</s>"}, {"messages", "other"}};
  const auto prompt = bench.builder->build(conversation, {});
  REQUIRE(prompt.ok());
  CHECK(std::count(prompt->ids.begin(), prompt->ids.end(), 2) == 0);
  CHECK(bench.tokenizer->decode(prompt->ids, false).find("hi") != std::string::npos);
}

TEST_CASE("Arguments of earlier calls are objects where their text is JSON of a sane size") {
  const auto parsed = [](const std::string& text) {
    const auto calls = nlohmann::ordered_json::array(
        {{{"type", "function"}, {"function", {{"name", "f"}, {"arguments", text}}}}});
    return with_parsed_arguments(calls)[0]["function"]["arguments"];
  };
  CHECK(parsed(R"({"a":[1]})")["a"][0] == 1);
  CHECK(parsed("") == nlohmann::ordered_json::object());
  for (const std::string& text :
       {std::string("{not json"), std::string("[1]"),
        "{\"a\":" + std::string(200'000, '[') + std::string(200'000, ']') + "}"}) {
    CHECK(parsed(text) == text);
  }
}

TEST_CASE("A call without arguments has none, as an object") {
  const auto call = nlohmann::ordered_json::array({{{"function", {{"name", "f"}}}}});
  CHECK(with_parsed_arguments(call)[0]["function"]["arguments"] ==
        nlohmann::ordered_json::object());
}
