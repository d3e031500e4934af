#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/runtime/load_model.h"
#include "server/api/service/service.h"
#include "server/media/image_probe.h"
#include "server/media/video_loader.h"

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

MediaLayout layout_of(const ImageProcessor& processor, const std::string& file,
                      const PictureUse& use) {
  const auto header = probe_image(read_file(kGolden / file), {});
  REQUIRE(header.ok());
  const auto layout = processor.layout({header->height, header->width}, use);
  REQUIRE(layout.ok());
  return *layout;
}

// Of a `video` part, a list of frames.
MediaLayout video_layout(const api::TextSide& text, const Json& part) {
  VideoData data;
  for (const std::string file : part.at("frames")) data.frames.push_back(read_file(kGolden / file));
  std::optional<double> fps;
  if (part.contains("fps")) fps = part.at("fps").get<double>();
  const auto probed =
      probe_video_data(std::move(data), fps, text.frame_rule, {}, {}, {}, *text.frame_processor);
  INFO(probed.status().message());
  REQUIRE(probed.ok());
  return probed->layout;
}

// Runs the layout rules on the headers of pictures and frames, in order. `alone`: one picture.
Conversation conversation_of(const Json& messages, const api::TextSide& text, bool alone,
                             std::vector<MediaLayout>& media) {
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
      if (part.at("type") == "video") {
        media.push_back(video_layout(text, part));
        message.parts.push_back({ContentPart::Kind::kVideo, "x", {}});
        continue;
      }
      const std::string url = part.at("image_url").at("url");
      media.push_back(layout_of(*text.image_processor, url, {.alone = alone}));
      message.parts.push_back({ContentPart::Kind::kImage, url, {}});
    }
    if (content.is_string()) {
      message.parts.push_back({ContentPart::Kind::kText, content.get<std::string>(), {}});
    }
    conversation.messages.push_back(std::move(message));
  }
  return conversation;
}

// Of families whose positions tell rows, columns and frames apart.
void check_grid(const MediaSpan& span, const Json& expected, const Json& golden) {
  if (expected.size() < 6) return;
  CHECK(span.grid.rows == expected[4]);
  CHECK(span.grid.columns == expected[5]);
  if (!golden.contains("frame_steps")) return;
  const size_t item = expected[2];
  CHECK(span.grid.frame_step == golden.at("frame_steps").at(item).get<float>());
  CHECK(span.grid.extent == golden.at("extents").at(item));
}

// The goldens count all pictures first, then all videos; a conversation has them in its own order.
int pictures_first(const std::vector<MediaLayout>& media, int item) {
  int place = 0;
  const MediaKind kind = media[static_cast<size_t>(item)].kind;
  for (int i = 0; i < static_cast<int>(media.size()); ++i) {
    const MediaKind other = media[static_cast<size_t>(i)].kind;
    place += other == kind ? i < item : other == MediaKind::kImage;
  }
  return place;
}

void check_case(const PromptBuilder& builder, const ModelInfo& info, const api::TextSide& text,
                const Json& golden) {
  CAPTURE(golden.at("name").get<std::string>());
  Prompt prompt;
  std::vector<MediaLayout> media;
  if (golden.at("messages").is_null()) {
    REQUIRE(golden.at("images").empty());
    prompt = builder.build_text(golden.at("prompt").get<std::string>(), true);
  } else {
    const bool alone = golden.at("images").size() == 1;
    const Conversation conversation = conversation_of(golden.at("messages"), text, alone, media);
    auto built = builder.build(conversation, media);
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
    // Item and first row are told where one has several spans.
    const int item = spans[i].size() > 2 ? spans[i][2].get<int>() : int(i);
    CHECK(pictures_first(media, prompt.spans[i].media) == item);
    CHECK(prompt.spans[i].offset == (spans[i].size() > 2 ? spans[i][3].get<int>() : 0));
    CHECK(prompt.spans[i].memory_rows == (spans[i].size() > 6 ? spans[i][6].get<int>() : 0));
    check_grid(prompt.spans[i], spans[i], golden);
  }
  if (info.instruction_to_connector && !spans.empty()) {
    CHECK(prompt.instruction == golden.at("qformer_input_ids").get<std::vector<TokenId>>());
  } else {
    CHECK(prompt.instruction.empty());
  }
}

// A prompt of one picture and the word "a", for pictures of many sizes.
int check_sizes(const PromptBuilder& builder, const ModelInfo& info,
                const ImageProcessor& processor, const Json& sizes) {
  for (const Json& row : sizes) {
    const ImageSize size{row.at("height"), row.at("width")};
    CAPTURE(size.height, size.width);
    const auto layout = processor.layout(size);
    REQUIRE(layout.ok());
    CHECK(info.image_tokens(*layout) == row.at("tokens"));
    if (!row.contains("prompt_tokens")) continue;
    ChatMessage message;
    message.role = "user";
    message.parts = {{ContentPart::Kind::kImage, "x", {}}, {ContentPart::Kind::kText, "a", {}}};
    Conversation conversation;
    conversation.messages.push_back(std::move(message));
    const auto prompt = builder.build(conversation, {&*layout, 1});
    REQUIRE(prompt.ok());
    CHECK(prompt->image_tokens == row.at("tokens"));
    CHECK(prompt->ids.size() == row.at("prompt_tokens"));
  }
  return static_cast<int>(sizes.size());
}

// Of videos whose frames keep their sizes.
void check_video_sizes(const ModelInfo& info, const ImageProcessor& frames, const Json& sizes) {
  CHECK(sizes.size() >= 40);
  for (const Json& row : sizes) {
    const ImageSize size{row.at("height"), row.at("width")};
    CAPTURE(size.height, size.width);
    auto layout = frames.layout(size);
    REQUIRE(layout.ok());
    layout->kind = MediaKind::kVideo;
    layout->parts = row.at("frames");
    CHECK(info.image_tokens(*layout) == row.at("tokens"));
  }
}

}  // namespace

TEST_CASE("prompts equal those of the reference processors") {
  int cases = 0;
  for (const auto& folder : fs::directory_iterator(kGolden)) {
    if (!fs::exists(folder.path() / "golden.json")) continue;
    const Json golden = Json::parse(read_file(folder.path() / "golden.json"));
    CAPTURE(folder.path().filename().string());
    const ModelInfo info = describe_model(folder.path());
    api::TextSide text = api::load_text_side(folder.path(), info, {});
    const PromptBuilder builder(info, text.tokenizer, text.connector_tokenizer,
                                std::move(text.templates), text.globals);
    for (const Json& golden_case : golden.at("cases")) {
      check_case(builder, info, text, golden_case);
      ++cases;
    }
    if (golden.contains("video_sizes")) {
      check_video_sizes(info, *text.frame_processor, golden.at("video_sizes"));
    }
    if (golden.at("sizes").is_null()) continue;
    CHECK(check_sizes(builder, info, *text.image_processor, golden.at("sizes")) >= 40);
  }
  CHECK(cases >= 30);
}
