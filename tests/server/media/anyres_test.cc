#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>

#include "server/media/image_processor.h"

// The plan of LLaVA-NeXT's tiles; test_anyres.py compares the pixels with the reference.
namespace {

using namespace saccade;

ImageProcessor processor(const std::string& size = R"({"shortest_edge": 28})") {
  std::string name = (std::filesystem::temp_directory_path() / "saccade_anyres_XXXXXX").string();
  const std::filesystem::path folder = mkdtemp(name.data());
  std::ofstream(folder / "preprocessor_config.json")
      << R"({"image_processor_type": "LlavaNextImageProcessor", "size": )" << size << R"(,
             "crop_size": 28, "do_normalize": false, "resample": 0,
             "image_grid_pinpoints": [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]})";
  ImageProcessor made = ImageProcessor::load(folder);
  std::filesystem::remove_all(folder);
  return made;
}

RgbImage white(int width, int height) {
  RgbImage image(width, height);
  std::fill(image.pixels.begin(), image.pixels.end(), uint8_t{255});
  return image;
}

}  // namespace

TEST_CASE("the resolution that keeps most, then wastes least") {
  const ImageProcessor next = processor();
  const auto grid = [&](int height, int width) {
    const auto layout = next.layout({height, width});
    REQUIRE(layout.ok());
    CHECK(layout->parts == layout->rows * layout->columns + 1);
    CHECK(layout->part == ImageSize{28, 28});
    return ImageSize{layout->rows, layout->columns};
  };
  // As select_best_resolution of transformers chooses.
  CHECK(grid(64, 48) == ImageSize{2, 2});
  CHECK(grid(20, 90) == ImageSize{1, 3});
  CHECK(grid(90, 20) == ImageSize{3, 1});
  CHECK(grid(33, 56) == ImageSize{2, 2});
  CHECK(grid(28, 56) == ImageSize{1, 2});
  CHECK(grid(10, 10) == ImageSize{1, 2});
  CHECK(grid(224, 31) == ImageSize{3, 1});
  CHECK(grid(1, 3000) == ImageSize{1, 2});  // where the reference finds none
}

TEST_CASE("a tile's size in other words") {
  const std::string plain = processor().description();
  for (const char* size : {"28", R"({"height": 28, "width": 28})", "[28, 28]"}) {
    CHECK(processor(size).description() == plain);
  }
}

TEST_CASE("the picture lies in the middle of black") {
  const ImageProcessor next = processor();
  constexpr int kTile = 28;
  const auto column = [&](const MediaItem& item, int part, int row) {
    return item.pixels[size_t(part) * 3 * kTile * kTile + size_t(row) * kTile];
  };
  const auto odd = next.process(white(56, 33), {});  // 11 rows above, 12 below
  REQUIRE(odd.ok());
  CHECK(odd->frames == 5);
  CHECK(column(*odd, 0, 0) == 1);  // the overview has no border
  CHECK(column(*odd, 1, 10) == 0);
  CHECK(column(*odd, 1, 11) == 1);
  CHECK(column(*odd, 3, 15) == 1);
  CHECK(column(*odd, 3, 16) == 0);
  const auto wide = next.process(white(90, 20), {});  // 18.67 rows are 19
  REQUIRE(wide.ok());
  CHECK(column(*wide, 1, 3) == 0);
  CHECK(column(*wide, 1, 4) == 1);
  CHECK(column(*wide, 1, 22) == 1);
  CHECK(column(*wide, 1, 23) == 0);
}

TEST_CASE("detail and company are part of a picture's name") {
  const ImageProcessor next = processor();
  const ContentHash file{};
  const ContentHash whole = next.media_hash(file);
  const PictureUse low{.detail = ImageDetail::kLow}, many{.alone = false};
  CHECK(next.media_hash(file, low) != whole);
  CHECK(next.media_hash(file, many) != whole);
  CHECK(next.layout({64, 48}, low)->parts == 1);
  CHECK(next.layout({64, 48}, many)->parts == 5);
}
