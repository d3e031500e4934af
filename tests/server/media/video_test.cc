#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "server/media/frame_sampler.h"
#include "server/media/video_decoder.h"
#include "server/media/video_loader.h"

namespace {

using namespace saccade;
using Catch::Approx;
namespace fs = std::filesystem;

const fs::path kClips = "tests/golden/videos";  // scripts/golden/videos.py says what they show
constexpr int kFrames = 24;
constexpr double kFps = 12;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

std::vector<fs::path> clips() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(kClips)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Which frame of the clip a picture is, from its gray levels.
int frame_shown(const RgbImage& image) {
  const auto gray = [&](int x) { return image.row(image.height / 2)[3 * x + 1]; };
  const double left = (gray(image.width / 4) - 20) / 9.0;
  const double right = (235 - gray(3 * image.width / 4)) / 9.0;
  CHECK(left == Approx(right).margin(0.6));
  return static_cast<int>(std::lround((left + right) / 2));
}

std::vector<int> shown(const std::string& bytes, const std::vector<int>& indices) {
  const auto header = probe_video(bytes, {});
  REQUIRE(header.ok());
  std::vector<int> seen;
  const Status status = decode_frames(bytes, *header, indices, {}, [&](const RgbImage& frame) {
    seen.push_back(frame_shown(frame));
    return Status();
  });
  INFO(status.message());
  CHECK(status.ok());
  return seen;
}

std::vector<double> times(int count, double fps = kFps) {
  std::vector<double> times;
  for (int i = 0; i < count; ++i) times.push_back(i / fps);
  return times;
}

std::vector<int> sampled(const FrameRule& rule, const FrameRequest& request, int count,
                         double fps = kFps) {
  const auto indices = sample_frames(rule, request, times(count, fps), fps);
  INFO(indices.status().message());
  REQUIRE(indices.ok());
  return *indices;
}

}  // namespace

TEST_CASE("the header of every kind of file") {
  REQUIRE(clips().size() == 6);
  for (const fs::path& path : clips()) {
    CAPTURE(path.filename().string());
    const auto header = probe_video(read_file(path), {});
    INFO(header.status().message());
    REQUIRE(header.ok());
    CHECK(header->width == 48);
    CHECK(header->height == 32);
    CHECK(header->frames() == kFrames);
    // GIF counts in hundredths of a second.
    const double slack = path.extension() == ".gif" ? 0.02 : 0.001;
    CHECK(header->fps == Approx(kFps).epsilon(0.05));
    for (int i = 0; i < header->frames(); ++i) {
      CHECK(header->times[i] == Approx(i / kFps).margin(slack));
    }
  }
}

TEST_CASE("the frames with the indices asked for, however far apart") {
  std::vector<int> all;
  for (int i = 0; i < kFrames; ++i) all.push_back(i);
  for (const fs::path& path : clips()) {
    CAPTURE(path.filename().string());
    const std::string bytes = read_file(path);
    CHECK(shown(bytes, all) == all);
    CHECK(shown(bytes, {0, 3, 23}) == std::vector<int>{0, 3, 23});
    CHECK(shown(bytes, {5, 5, 6}) == std::vector<int>{5, 5, 6});
    CHECK(shown(bytes, {22}) == std::vector<int>{22});
  }
}

TEST_CASE("frames are spread as the reference spreads them") {
  // numpy.arange(0, total, total / n).astype(int)
  CHECK(sampled({.num_frames = 8}, {}, 24) == std::vector<int>{0, 3, 6, 9, 12, 15, 18, 21});
  CHECK(sampled({.num_frames = 4}, {}, 30) == std::vector<int>{0, 7, 15, 22});
  CHECK(sampled({.num_frames = 8}, {}, 100) == std::vector<int>{0, 12, 25, 37, 50, 62, 75, 87});
  CHECK(sampled({.num_frames = 8}, {.num_frames = 3}, 10) == std::vector<int>{0, 3, 6});
  // int(total / fps * wanted) frames: 24 / 12 * 2
  CHECK(sampled({.num_frames = 8}, {.fps = 2.0}, 24) == std::vector<int>{0, 6, 12, 18});
  CHECK(sampled({.fps = 2, .max_frames = 3}, {}, 24) == std::vector<int>{0, 8, 16});
  CHECK(sampled({}, {}, 3) == std::vector<int>{0, 1, 2});
  // At least one, at most all.
  CHECK(sampled({.num_frames = 8}, {.fps = 0.01}, 24) == std::vector<int>{0});
  CHECK(sampled({.num_frames = 8}, {}, 3) == std::vector<int>{0, 1, 2});
}

TEST_CASE("frames of hundreds of videos are those of the reference's video processors") {
  // scripts/golden/sampling.py: rule, frames, rate, num_frames, fps, indices
  const auto rows = nlohmann::json::parse(read_file("tests/golden/sampling.json"));
  REQUIRE(rows.size() > 700);
  const std::map<std::string, FrameRule> rules = {
      {"even", {}},
      {"groups",
       {.spread = FrameRule::Spread::kGroups, .min_frames = 4, .max_frames = 768, .group = 2}},
      {"ends", {.spread = FrameRule::Spread::kEnds, .num_frames = 64, .fps = 1}}};
  for (const auto& row : rows) {
    CAPTURE(row.dump());
    FrameRequest request;
    if (!row[3].is_null()) request.num_frames = row[3];
    if (!row[4].is_null()) request.fps = row[4];
    const std::vector<int> expected = row[5];
    CHECK(sampled(rules.at(row[0]), request, row[1], row[2]) == expected);
  }
}

TEST_CASE("what the reference refuses becomes the nearest that the video has") {
  const FrameRule pairs{.spread = FrameRule::Spread::kGroups,
                        .fps = 2,
                        .min_frames = 4,
                        .max_frames = 768,
                        .group = 2};
  CHECK(sampled(pairs, {}, 1) == std::vector<int>{0});
  CHECK(sampled(pairs, {.num_frames = 1}, 24) == std::vector<int>{0, 12});
  CHECK(sampled(pairs, {.num_frames = 99}, 3) == std::vector<int>{0, 1, 2});
  CHECK(sampled(pairs, {.num_frames = FrameRequest::kAll}, 3) == std::vector<int>{0, 1, 2});
  const FrameRule ends{.spread = FrameRule::Spread::kEnds, .num_frames = 64, .fps = 1};
  CHECK(sampled(ends, {.num_frames = FrameRequest::kAll}, 3) == std::vector<int>{0, 1, 2});
}

TEST_CASE("a prompt with room for four frames takes four") {
  const FrameRule four{.num_frames = 4, .exact = true};
  CHECK(sampled(four, {}, 24) == std::vector<int>{0, 6, 12, 18});
  CHECK(sampled(four, {.fps = 2.0}, 24) == std::vector<int>{0, 6, 12, 18});
  CHECK_FALSE(sample_frames(four, {}, times(3), kFps).ok());
  CHECK_FALSE(sample_frames(four, {.num_frames = 5}, times(24), kFps).ok());
}

TEST_CASE("start and end leave frames out before any rule") {
  const FrameRule eight{.num_frames = 8};
  CHECK(sampled(eight, {.num_frames = 2, .start = 1.0}, 24) == std::vector<int>{12, 18});
  CHECK(sampled(eight, {.num_frames = 2, .end = 1.0}, 24) == std::vector<int>{0, 6});
  CHECK(sampled(eight, {.fps = 4.0, .start = 0.5, .end = 1.0}, 24) == std::vector<int>{6, 9});
  const auto none = sample_frames(eight, {.start = 9.0}, times(24), kFps);
  CHECK_FALSE(none.ok());
}

TEST_CASE("limits hold before anything is decoded") {
  const std::string bytes = read_file(kClips / "h264.mp4");
  const auto refused = [&](const VideoLimits& limits) { return !probe_video(bytes, limits).ok(); };
  CHECK(refused({.max_bytes = 100}));
  CHECK(refused({.max_seconds = 1.9}));
  CHECK(refused({.max_frames = 23}));
  CHECK(refused({.max_frame_pixels = 48 * 32 - 1}));
  CHECK(refused({.max_decode_seconds = 0}));
  CHECK_FALSE(refused({.max_seconds = 2.1, .max_frames = 24, .max_frame_pixels = 48 * 32}));
}

TEST_CASE("the decoder itself holds the limit of pixels") {  // a container may lie about its frames
  for (const fs::path& path : clips()) {
    CAPTURE(path.filename().string());
    const std::string bytes = read_file(path);
    const auto header = probe_video(bytes, {});
    REQUIRE(header.ok());
    const auto decode = [&](int64_t most) {
      return decode_frames(bytes, *header, {{5}}, {.max_frame_pixels = most},
                           [](const RgbImage&) { return Status(); });
    };
    CHECK(decode(1 << 20).ok());
    CHECK_FALSE(decode(48 * 32 / 4).ok());
  }
}

TEST_CASE("files that point to other files are no videos") {
  const std::string lists[] = {
      "ffconcat version 1.0\nfile /etc/passwd\n",
      "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
      "<?xml version=\"1.0\"?><MPD><Period><BaseURL>file:///etc/passwd</BaseURL></Period></MPD>",
      "RIFF",
      "",
      "\x89PNG\r\n\x1a\n",
      "GIF89a"};
  for (const std::string& bytes : lists) {
    CAPTURE(bytes);
    CHECK_FALSE(probe_video(bytes, {}).ok());
  }
}

TEST_CASE("damaged files end in an error or in frames, never in a crash") {
  std::mt19937 random(7);
  for (const fs::path& path : clips()) {
    const std::string whole = read_file(path);
    for (int trial = 0; trial < 40; ++trial) {
      std::string bytes = whole;
      if (trial % 4 == 0) bytes.resize(random() % whole.size());
      for (int i = 0; i < trial % 7 && !bytes.empty(); ++i) {
        bytes[random() % bytes.size()] = static_cast<char>(random());
      }
      const VideoLimits limits{.max_decode_seconds = 5};
      const auto header = probe_video(bytes, limits);
      if (!header.ok()) continue;
      REQUIRE(header->frames() > 0);
      const int last = header->frames() - 1;
      decode_frames(bytes, *header, std::vector<int>{last / 2, last}, limits,
                    [](const RgbImage&) { return Status(); });
    }
  }
}

TEST_CASE("a data: URL is a file or a list of frames") {
  const auto file = decode_video_url("data:video/mp4;base64,AAAA", {}, {});
  REQUIRE(file.ok());
  CHECK(file->file == std::string(3, '\0'));
  CHECK(file->frames.empty());
  const auto list = decode_video_url("data:video/jpeg;base64,AAAA,AAAAAAAA", {}, {});
  REQUIRE(list.ok());
  CHECK(list->file.empty());
  REQUIRE(list->frames.size() == 2);
  CHECK(list->frames[1].size() == 6);
  for (const char* url :
       {"http://host/a.mp4", "file:///a.mp4", "/a.mp4", "data:video/mp4,abc",
        "data:text/plain;base64,AAAA", "data:video/mp4;base64,", "data:video/jpeg;base64,AAAA,",
        "data:video/jpeg;base64,AAAA,A", "data:video/mp4;base64,A", "data:"}) {
    CAPTURE(url);
    CHECK_FALSE(decode_video_url(url, {}, {}).ok());
  }
}
