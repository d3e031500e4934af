#include "server/media/image_probe.h"

#include <catch2/catch_test_macros.hpp>

#include "server/media/exif.h"
#include "test_pictures.h"

namespace saccade {
namespace {

struct Expected {
  std::string file;
  ImageFormat format;
  int width, height, channels, bit_depth;
};

TEST_CASE("the header says format, size, channels and depth") {
  const Expected table[] = {
      {png_header(20, 10), ImageFormat::kPng, 20, 10, 3, 8},
      {png_header(1, 1, 1, 0), ImageFormat::kPng, 1, 1, 1, 1},
      {png_header(7, 9, 16, 0), ImageFormat::kPng, 7, 9, 1, 16},
      {png_header(7, 9, 4, 3), ImageFormat::kPng, 7, 9, 1, 4},
      {png_header(7, 9, 8, 4), ImageFormat::kPng, 7, 9, 2, 8},
      {png_header(32768, 1900, 16, 6), ImageFormat::kPng, 32768, 1900, 4, 16},
      {jpeg_header(640, 480), ImageFormat::kJpeg, 640, 480, 3, 8},
      {jpeg_header(640, 480, 1), ImageFormat::kJpeg, 640, 480, 1, 8},
      {jpeg_header(640, 480, 4), ImageFormat::kJpeg, 640, 480, 4, 8},
      {jpeg_header(5, 6, 3, 8, jpeg_segment(0xFE, "x") + std::string("\0junk\xff\0\xff\xff", 9)),
       ImageFormat::kJpeg, 5, 6, 3, 8},
      {webp_lossy(300, 200), ImageFormat::kWebp, 300, 200, 3, 8},
      {webp_lossless(300, 200, false), ImageFormat::kWebp, 300, 200, 3, 8},
      {webp_lossless(16384, 90, true), ImageFormat::kWebp, 16384, 90, 4, 8},
      {webp_extended(20000, 3000, 0x10), ImageFormat::kWebp, 20000, 3000, 4, 8},
      {gif_header(30, 20, 30, 20), ImageFormat::kGif, 30, 20, 1, 8},
      {gif_header(30, 20, 5, 5, 28, 2), ImageFormat::kGif, 33, 20, 1, 8},
      {gif_header(0, 0, 5, 6, 1, 2), ImageFormat::kGif, 6, 8, 1, 8},
      {bmp_header(11, 12, 24), ImageFormat::kBmp, 11, 12, 3, 8},
      {bmp_header(11, static_cast<uint32_t>(-12), 32), ImageFormat::kBmp, 11, 12, 4, 8},
      {bmp_header(11, 12, 16), ImageFormat::kBmp, 11, 12, 3, 5},
      {bmp_header(11, 12, 4) + std::string(64, 'x'), ImageFormat::kBmp, 11, 12, 1, 4},
  };
  for (const Expected& expected : table) {
    const auto header = probe_image(expected.file, MediaLimits{});
    INFO(format_name(expected.format)
         << ' ' << expected.width << 'x' << expected.height << ' ' << header.status().message());
    REQUIRE(header.ok());
    CHECK(header->format == expected.format);
    CHECK(header->width == expected.width);
    CHECK(header->height == expected.height);
    CHECK(header->channels == expected.channels);
    CHECK(header->bit_depth == expected.bit_depth);
    CHECK(header->orientation == 1);
  }
}

TEST_CASE("damaged and unsupported headers are refused") {
  const std::pair<std::string, std::string_view> table[] = {
      {"", "not a picture"},
      {"hello", "not a picture"},
      {std::string("RIFF\0\0\0\0WAVEfmt ", 16), "not a picture"},
      {png_header(5, 5, 3, 2), "invalid values"},
      {png_header(5, 5, 8, 5), "invalid values"},
      {png_header(5, 5).substr(0, 30), "truncated"},
      {png_header(5, 5).substr(0, 33), "no picture data"},
      {png_header(5, 5, 8, 2, big_endian(0x7fffffff, 4) + "tEXtabc"), "truncated"},
      {png_header(5, 5, 8, 2, png_chunk("fcTL", std::string(26, '\0'))), "animation frame"},
      {jpeg_header(5, 5, 2), "2 components"},
      {jpeg_header(5, 5, 3, 12), "12 bits"},
      {jpeg_header(5, 5).substr(0, 12), "truncated"},
      {"\xff\xd8\xff\x01", "no marker"},
      {std::string("\xff\xd8") + jpeg_segment(0xDA, "scan"), "no frame header"},
      {webp_lossy(5, 5).substr(0, 25), "truncated"},
      {webp_file(webp_chunk("ABCD", std::string(30, 'x'))), "unknown first chunk"},
      {webp_file(webp_chunk("VP8 ", std::string(30, 'x'))), "key frame"},
      {webp_file(webp_chunk("VP8L", std::string(30, 'x'))), "VP8L"},
      {gif_header(5, 5, 5, 5).substr(0, 22), "truncated"},
      {std::string("GIF89a") + std::string(7, '\1') + ";", "no picture"},
      {bmp_header(5, 5, 24).substr(0, 40), "truncated"},
      {bmp_header(5, 5, 7), "7 bits per pixel"},
      {bmp_header(5, 5, 24, 4), "compression"},
      {bmp_header(5, 5, 24, 3) + std::string(12, '\1'), "bit fields"},
      {png_header(0, 5), "empty"},
      {jpeg_header(5, 0), "empty"},
      {webp_lossy(0, 5), "empty"},
      {gif_header(5, 0, 5, 0), "empty"},
      {bmp_header(0, 5, 24), "empty"},
  };
  for (const auto& [file, words] : table) {
    const auto header = probe_image(file, MediaLimits{});
    INFO(words);
    REQUIRE(!header.ok());
    INFO(header.status().message());
    CHECK(header.status().code() == StatusCode::kInvalidArgument);
    CHECK(header.status().message().find(words) != std::string::npos);
  }
}

TEST_CASE("limits are exact") {
  const MediaLimits limits;
  const auto accepted = [&](uint32_t width, uint32_t height) {
    return probe_image(png_header(width, height), limits).ok() &&
           probe_image(bmp_header(width, height, 24), limits).ok();
  };
  CHECK(accepted(8000, 8000));
  CHECK(!accepted(8000, 8001));
  CHECK(!accepted(8001, 8000));
  CHECK(accepted(32768, 1000));
  CHECK(!accepted(32769, 1000));
  CHECK(!accepted(1000, 32769));
  CHECK(accepted(200, 1));
  CHECK(accepted(1, 200));
  CHECK(!accepted(201, 1));
  CHECK(!accepted(1, 201));
  CHECK(!accepted(0xffffffff, 0xffffffff));
  CHECK(!accepted(65536, 65536));

  MediaLimits small;
  small.max_image_bytes = png_header(5, 5).size();
  CHECK(probe_image(png_header(5, 5), small).ok());
  CHECK(!probe_image(png_header(5, 5) + "x", small).ok());
}

TEST_CASE("orientations turn the header's size") {
  for (int orientation = 0; orientation < 10; ++orientation) {
    for (const bool big : {false, true}) {
      const std::string exif = exif_block(orientation, big);
      const std::string files[] = {
          jpeg_header(20, 10, 3, 8, jpeg_segment(0xE1, exif)),
          png_header(20, 10, 8, 2, png_chunk("eXIf", exif.substr(6))),
          webp_extended(20, 10, 0x08, webp_chunk("EXIF", exif)),
      };
      for (const std::string& file : files) {
        const auto header = probe_image(file, MediaLimits{});
        REQUIRE(header.ok());
        const bool known = orientation >= 1 && orientation <= 8;
        CHECK(header->orientation == (known ? orientation : 1));
        const bool turned = known && orientation >= 5;
        CHECK(header->width == (turned ? 10 : 20));
        CHECK(header->height == (turned ? 20 : 10));
        CHECK(header->stored_width == 20);
        CHECK(header->stored_height == 10);
      }
    }
  }
}

TEST_CASE("no cut or flipped EXIF block is read out of bounds") {
  const std::string exif = exif_block(6, true);
  for (size_t length = 0; length <= exif.size(); ++length) {
    // A heap copy of just this length, so that a sanitizer sees a read behind it.
    const std::string cut = exif.substr(0, length);
    const int orientation = media::find_orientation(cut, std::nullopt);
    CHECK((orientation == 1 || orientation == 6));
    for (size_t bit = 0; bit < 8 * length; ++bit) {
      std::string flipped = cut;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
      const int found = media::find_orientation(flipped, std::nullopt);
      CHECK((found >= 1 && found <= 8));
    }
  }
}

TEST_CASE("XMP counts only where EXIF has no orientation") {
  CHECK(media::find_orientation(std::nullopt, "tiff:Orientation=\"6\"") == 6);
  CHECK(media::find_orientation(std::nullopt, "<tiff:Orientation>3</tiff:Orientation>") == 3);
  CHECK(media::find_orientation(exif_block(8, false), "tiff:Orientation=\"6\"") == 8);
  CHECK(media::find_orientation(std::nullopt, "tiff:Orientation tiff:Orientation=\"x\"") == 1);
  CHECK(media::find_orientation(std::nullopt, "tiff:Orientation=\"") == 1);
  CHECK(media::find_orientation(std::nullopt, std::nullopt) == 1);
}

}  // namespace
}  // namespace saccade
