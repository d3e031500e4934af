#include "server/media/resample.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <random>

#include "server/media/resample_kernels.h"

namespace saccade {
namespace {

constexpr Filter kFilters[] = {Filter::kNearest, Filter::kLanczos, Filter::kBilinear,
                               Filter::kBicubic, Filter::kBox,     Filter::kHamming};

RgbImage random_image(int width, int height, unsigned seed) {
  std::mt19937 random(seed);
  RgbImage image(width, height);
  for (uint8_t& sample : image.pixels) sample = static_cast<uint8_t>(random());
  return image;
}

TEST_CASE("a picture of one colour keeps it") {
  for (const Filter filter : kFilters) {
    RgbImage image(37, 23);
    for (size_t i = 0; i < image.pixels.size(); ++i) {
      image.pixels[i] = static_cast<uint8_t>(i % 3 == 0 ? 255 : i % 3 == 1 ? 1 : 128);
    }
    for (const auto& [width, height] : {std::pair{5, 4}, {100, 7}, {37, 60}, {1, 1}}) {
      const RgbImage out = resize(image, width, height, filter);
      REQUIRE(out.pixels.size() == size_t(width) * size_t(height) * 3);
      for (size_t i = 0; i < out.pixels.size(); ++i) {
        REQUIRE(out.pixels[i] == (i % 3 == 0 ? 255 : i % 3 == 1 ? 1 : 128));
      }
    }
  }
}

TEST_CASE("the same size is the same picture") {
  const RgbImage image = random_image(31, 17, 1);
  for (const Filter filter : kFilters) {
    CHECK(resize(image, 31, 17, filter).pixels == image.pixels);
  }
}

TEST_CASE("every kernel gives the same bytes") {
  // Heap buffers of exact size: a sanitizer sees a kernel that reads behind the last row.
  std::mt19937 random(2);
  for (int i = 0; i < 300; ++i) {
    const auto side = [&] { return static_cast<int>(random() % 80) + 1; };
    const RgbImage image = random_image(side(), side(), random());
    const int width = side(), height = side();
    const Filter filter = kFilters[random() % 6];
    INFO(image.width << 'x' << image.height << " -> " << width << 'x' << height << " filter "
                     << static_cast<int>(filter));
    const RgbImage portable =
        media::resize_with(media::portable_kernels(), image, width, height, filter);
    const RgbImage best = media::resize_with(media::best_kernels(), image, width, height, filter);
    REQUIRE(best.pixels == portable.pixels);
  }
}

TEST_CASE("mirroring the picture mirrors the result") {
  const RgbImage image = random_image(40, 24, 3);
  RgbImage mirrored = image;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      std::copy_n(image.row(y) + 3 * x, 3, mirrored.row(y) + 3 * (image.width - 1 - x));
    }
  }
  const RgbImage a = resize(image, 13, 24, Filter::kBicubic);
  const RgbImage b = resize(mirrored, 13, 24, Filter::kBicubic);
  int differing = 0;
  for (int y = 0; y < a.height; ++y) {
    for (int x = 0; x < 3 * a.width; ++x) {
      const int pixel = x / 3, channel = x % 3;
      const int other = b.row(y)[3 * (a.width - 1 - pixel) + channel];
      const int difference = std::abs(a.row(y)[x] - other);
      CHECK(difference <= 1);  // the weights of mirrored positions are rounded apart
      differing += difference;
    }
  }
  CHECK(differing < 10);
}

}  // namespace
}  // namespace saccade
