#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/runtime/load_model.h"
#include "engine/weights/safetensors.h"
#include "server/api/service/service.h"
#include "server/media/image_decoder.h"
#include "server/media/video_loader.h"

// From the bytes of pictures and frames to the values that the reference's (slow, Pillow) image
// processors make of them (tests/golden).
namespace {

using namespace saccade;
using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

const fs::path kGolden = "tests/golden";
// Later releases normalise in another order of operations: a few units in the last place.
constexpr float kTolerance = 2e-6F;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void append(std::vector<float>& all, const Result<MediaItem>& item) {
  INFO(item.status().message());
  REQUIRE(item.ok());
  all.insert(all.end(), item->pixels.begin(), item->pixels.end());
}

// Of all pictures of a case, then of all its videos.
std::vector<float> our_pixels(const api::TextSide& text, const Json& golden_case) {
  std::vector<float> pixels;
  const Json& images = golden_case.at("images");
  for (const std::string file : images) {
    const std::string bytes = read_file(kGolden / file);
    const auto header = probe_image(bytes, {});
    REQUIRE(header.ok());
    const auto image = decode_image(bytes, *header);
    REQUIRE(image.ok());
    append(pixels, text.image_processor->process(*image, {}, {.alone = images.size() == 1}));
  }
  for (const Json& frames : golden_case.value("videos", Json::array())) {
    VideoData data;
    for (const std::string file : frames) data.frames.push_back(read_file(kGolden / file));
    const auto probed =
        probe_video_data(std::move(data), {}, text.frame_rule, {}, {}, {}, *text.frame_processor);
    INFO(probed.status().message());
    REQUIRE(probed.ok());
    append(pixels, load_video(*probed, {}, *text.frame_processor));
  }
  return pixels;
}

// "case0.pixel_values.1.2" of prefix "case0.pixel_values" -> {1, 2}; the order of items and parts.
std::vector<int> place_of(const std::string& name, const std::string& prefix) {
  std::vector<int> place;
  std::istringstream rest(name.substr(prefix.size()));
  for (char dot; rest >> dot;) rest >> place.emplace_back();
  return place;
}

std::vector<float> golden_pixels(const SafetensorsFile& file, size_t index) {
  const std::string prefix = "case" + std::to_string(index) + ".pixel_values";
  std::map<std::vector<int>, const TensorView*> parts;
  for (const TensorView& view : file.tensors()) {
    if (view.name.starts_with(prefix)) parts[place_of(view.name, prefix)] = &view;
  }
  std::vector<float> pixels;
  for (const auto& [place, view] : parts) {
    const size_t start = pixels.size();
    pixels.resize(start + view->bytes / sizeof(float));
    std::memcpy(pixels.data() + start, view->data, view->bytes);
  }
  return pixels;
}

// As tests/engine/models/golden.h.
void report(const std::string& folder, float deviation) {
  const char* file = std::getenv("SACCADE_GOLDEN_REPORT");
  if (file == nullptr) return;
  std::ofstream(file, std::ios::app) << "pixels " << folder << ' ' << deviation << '\n';
}

}  // namespace

TEST_CASE("pixels equal those of the reference processors") {
  int cases = 0;
  for (const auto& folder : fs::directory_iterator(kGolden)) {
    if (!fs::exists(folder.path() / "golden.json")) continue;
    const Json golden = Json::parse(read_file(folder.path() / "golden.json"));
    CAPTURE(folder.path().filename().string());
    const api::TextSide text =
        api::load_text_side(folder.path(), describe_model(folder.path()), {});
    const SafetensorsFile file(folder.path() / "golden.safetensors");
    for (size_t i = 0; i < golden.at("cases").size(); ++i) {
      const Json& one = golden.at("cases")[i];
      if (one.at("images").empty() && !one.contains("videos")) continue;
      CAPTURE(one.at("name").get<std::string>());
      const std::vector<float> ours = our_pixels(text, one), expected = golden_pixels(file, i);
      REQUIRE(ours.size() == expected.size());
      float worst = 0;
      for (size_t k = 0; k < ours.size(); ++k) {
        worst = std::max(worst, std::abs(ours[k] - expected[k]));
      }
      ++cases;
      CHECK(worst <= kTolerance);
      report(folder.path().filename().string(), worst);
    }
  }
  CHECK(cases >= 100);
}
