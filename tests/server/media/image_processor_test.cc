#include "server/media/image_processor.h"

#include <catch2/catch_test_macros.hpp>
#include <fstream>

#include "server/media/sha256.h"

namespace saccade {
namespace {

// A model folder with one processor file, gone at the end of the test.
class ModelFolder {
 public:
  explicit ModelFolder(const std::string& json) {
    std::string name = (std::filesystem::temp_directory_path() / "saccade_media_XXXXXX").string();
    path_ = mkdtemp(name.data());
    std::ofstream(path_ / "preprocessor_config.json") << json;
  }
  ~ModelFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

ImageProcessor processor(const std::string& json) {
  const ModelFolder folder(json);
  return ImageProcessor::load(folder.path());
}

TEST_CASE("the processed size follows from the header's") {
  const ImageProcessor blip = processor(R"({"image_processor_type": "BlipImageProcessor"})");
  CHECK(blip.layout({10, 2000})->part == ImageSize{384, 384});
  const ImageProcessor clip = processor(
      R"({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 336},
          "do_center_crop": false})");
  CHECK(clip.layout({480, 640})->part == ImageSize{336, 448});
  CHECK(clip.layout({640, 480})->part == ImageSize{448, 336});
  CHECK(clip.layout({899, 1024})->part == ImageSize{336, 382});  // int(382.7)
  CHECK(clip.layout({336, 336})->part == ImageSize{336, 336});
  const ImageProcessor pad = processor(
      R"({"image_processor_type": "LlavaImageProcessor", "do_pad": true, "do_resize": false,
          "do_center_crop": false})");
  CHECK(pad.layout({5, 9})->part == ImageSize{9, 9});
}

TEST_CASE("a media item knows its picture") {
  const ImageProcessor clip =
      processor(R"({"image_processor_type": "CLIPImageProcessor", "size": 28, "crop_size": 28})");
  const ContentHash file = sha256("a file");
  const auto item = clip.process(RgbImage(40, 30), file);
  REQUIRE(item.ok());
  CHECK(item->kind == MediaKind::kImage);
  CHECK(item->frames == 1);
  CHECK(item->channels == 3);
  CHECK(item->height == 28);
  CHECK(item->width == 28);
  CHECK(item->original_height == 30);
  CHECK(item->original_width == 40);
  CHECK(item->pixels.size() == 3 * 28 * 28);
  CHECK(item->hash == clip.media_hash(file));
}

TEST_CASE("the hash names the file and everything that decides the pixels") {
  const char* const settings[] = {
      R"("size": 28)",
      R"("size": 29)",
      R"("size": {"height": 28, "width": 28})",
      R"("crop_size": 28)",
      R"("do_center_crop": false)",
      R"("resample": 2)",
      R"("do_resize": false)",
      R"("do_rescale": false)",
      R"("rescale_factor": 0.00392)",
      R"("do_normalize": false)",
      R"("image_mean": [0.5, 0.5, 0.5])",
      R"("image_std": [0.5, 0.5, 0.50000001])",
  };
  std::vector<ContentHash> hashes;
  for (const char* setting : settings) {
    const ImageProcessor p = processor(R"({"image_processor_type": "CLIPImageProcessor", )" +
                                       std::string(setting) + "}");
    hashes.push_back(p.media_hash(sha256("one file")));
    hashes.push_back(p.media_hash(sha256("another file")));
  }
  for (size_t i = 0; i < hashes.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      INFO(i << " and " << j);
      CHECK(hashes[i] != hashes[j]);
    }
  }
  // The same processing under another name of the class is the same.
  const ImageProcessor slow = processor(R"({"image_processor_type": "CLIPImageProcessor"})");
  const ImageProcessor fast = processor(
      R"({"image_processor_type": "CLIPImageProcessorFast", "size": {"shortest_edge": 224}})");
  CHECK(slow.media_hash(sha256("x")) == fast.media_hash(sha256("x")));
}

TEST_CASE("a folder without processor files is an error that names them") {
  try {
    ImageProcessor::load("/nonexistent-model");
    FAIL("no error");
  } catch (const LoadError& error) {
    CHECK(std::string(error.what()).find("preprocessor_config.json") != std::string::npos);
  }
}

}  // namespace
}  // namespace saccade
