#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "server/api/service.h"
#include "server/media/image_probe.h"

// The ids, visual spans and connector ids that the Hugging Face processors make of the same
// conversations (tests/golden, written by scripts/golden).
namespace {

using namespace saccade;
using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

const fs::path kGolden = "tests/golden";

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// What engine/models fills in, without the engine.
ModelInfo model_info(const Json& golden, const Json& config) {
  ModelInfo info;
  info.family = golden.at("family");
  info.vocab_size = 1000;
  info.max_model_len = 1000;
  if (golden.at("image_token_id").is_null()) return info;
  info.image_token = golden.at("image_token_id");
  const int tokens = golden.at("tokens_per_image");
  info.image_tokens = [tokens](ImageSize) { return tokens; };
  info.max_images = 64;
  const int side = config.at("vision_config").at("image_size");
  info.encoder_input = {side, side};
  const bool before = info.family == "instructblip" || info.family == "blip-2";
  info.placement = before ? MediaPlacement::kBeforePrompt : MediaPlacement::kAtPlaceholder;
  info.instruction_to_connector = info.family == "instructblip";
  info.max_instruction_tokens = 128;
  return info;
}

Conversation conversation_of(const Json& messages, std::vector<ImageSize>& sizes) {
  Conversation conversation;
  for (const Json& source : messages) {
    ChatMessage message;
    message.role = source.at("role");
    const Json& content = source.at("content");
    message.plain_string = content.is_string();
    for (const Json& part : content.is_string() ? Json::array() : content) {
      if (part.at("type") == "text") {
        message.parts.push_back({ContentPart::Kind::kText, part.at("text"), {}});
        continue;
      }
      const std::string url = part.at("image_url").at("url");
      const auto header = probe_image(read_file(kGolden / url), {});
      REQUIRE(header.ok());
      sizes.push_back({header->height, header->width});
      message.parts.push_back({ContentPart::Kind::kImage, url, {}});
    }
    if (content.is_string()) {
      message.parts.push_back({ContentPart::Kind::kText, content.get<std::string>(), {}});
    }
    conversation.messages.push_back(std::move(message));
  }
  return conversation;
}

void check_case(const PromptBuilder& builder, const ModelInfo& info, const Json& golden) {
  CAPTURE(golden.at("name").get<std::string>());
  Prompt prompt;
  if (golden.at("messages").is_null()) {
    REQUIRE(golden.at("images").empty());
    prompt = builder.build_text(golden.at("prompt").get<std::string>(), true);
  } else {
    std::vector<ImageSize> sizes;
    const Conversation conversation = conversation_of(golden.at("messages"), sizes);
    auto built = builder.build(conversation, sizes);
    INFO(built.status().message());
    REQUIRE(built.ok());
    prompt = *std::move(built);
  }
  CHECK(prompt.ids == golden.at("input_ids").get<std::vector<TokenId>>());
  const Json& spans = golden.at("spans");
  REQUIRE(prompt.spans.size() == spans.size());
  for (size_t i = 0; i < spans.size(); ++i) {
    CHECK(prompt.spans[i].position == spans[i][0]);
    CHECK(prompt.spans[i].length == spans[i][1]);
    CHECK(prompt.spans[i].media == static_cast<int>(i));
    CHECK(prompt.spans[i].offset == 0);
  }
  if (info.instruction_to_connector && !spans.empty()) {
    CHECK(prompt.instruction == golden.at("qformer_input_ids").get<std::vector<TokenId>>());
  } else {
    CHECK(prompt.instruction.empty());
  }
}

}  // namespace

TEST_CASE("prompts equal those of the reference processors") {
  int cases = 0;
  for (const auto& folder : fs::directory_iterator(kGolden)) {
    if (!fs::exists(folder.path() / "golden.json")) continue;
    const Json golden = Json::parse(read_file(folder.path() / "golden.json"));
    CAPTURE(folder.path().filename().string());
    const Json config = Json::parse(read_file(folder.path() / "config.json"));
    const ModelInfo info = model_info(golden, config);
    api::TextSide text = api::load_text_side(folder.path(), info, {});
    const PromptBuilder builder(info, text.tokenizer, text.connector_tokenizer,
                                std::move(text.chat_template), text.globals);
    for (const Json& golden_case : golden.at("cases")) {
      check_case(builder, info, golden_case);
      ++cases;
    }
  }
  CHECK(cases >= 30);
}
