#include "server/media/image_decoder.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "server/media/format_decoders.h"

namespace saccade {
namespace {

constexpr size_t kPixel = 3;  // bytes

Status decode_format(std::string_view bytes, ImageFormat format, RgbImage* image) {
  switch (format) {
    case ImageFormat::kPng:
      return media::decode_png(bytes, image);
    case ImageFormat::kJpeg:
      return media::decode_jpeg(bytes, image);
    case ImageFormat::kWebp:
      return media::decode_webp(bytes, image);
    case ImageFormat::kGif:
      return media::decode_gif(bytes, image);
    case ImageFormat::kBmp:
      return media::decode_bmp(bytes, image);
  }
  return invalid_argument("unknown picture format");
}

void mirror_row(uint8_t* row, int width) {
  for (int left = 0, right = width - 1; left < right; ++left, --right) {
    std::swap_ranges(row + kPixel * left, row + kPixel * (left + 1), row + kPixel * right);
  }
}

void mirror(RgbImage* image) {
  for (int y = 0; y < image->height; ++y) mirror_row(image->row(y), image->width);
}

void flip(RgbImage* image) {
  for (int top = 0, bottom = image->height - 1; top < bottom; ++top, --bottom) {
    std::swap_ranges(image->row(top), image->row(top) + image->stride(), image->row(bottom));
  }
}

// Rows become columns.
RgbImage transpose(const RgbImage& image) {
  RgbImage out(image.height, image.width);
  constexpr int kBlock = 32;  // keeps both sides of a block in the L1 cache
  for (int by = 0; by < image.height; by += kBlock) {
    for (int bx = 0; bx < image.width; bx += kBlock) {
      const int y_end = std::min(by + kBlock, image.height);
      const int x_end = std::min(bx + kBlock, image.width);
      for (int y = by; y < y_end; ++y) {
        for (int x = bx; x < x_end; ++x) {
          std::memcpy(out.row(x) + kPixel * y, image.row(y) + kPixel * x, kPixel);
        }
      }
    }
  }
  return out;
}

// EXIF 2.3 table 6: where row 0 and column 0 of the stored picture belong.
void make_upright(int orientation, RgbImage* image) {
  const bool swapped = orientation >= 5;
  if (swapped) *image = transpose(*image);
  if (orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7) mirror(image);
  if (orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8) flip(image);
}

}  // namespace

namespace media {

Status damaged(std::string_view format, std::string_view detail) {
  std::string message = "damaged " + std::string(format) + ": ";
  constexpr size_t kMaxDetail = 100;
  for (const char c : detail.substr(0, kMaxDetail)) {
    message.push_back(c >= ' ' && c <= '~' ? c : '?');
  }
  return invalid_argument(std::move(message));
}

}  // namespace media

Result<RgbImage> decode_image(std::string_view bytes, const ImageHeader& header) {
  try {
    RgbImage image(header.stored_width, header.stored_height);
    if (Status status = decode_format(bytes, header.format, &image); !status.ok()) return status;
    make_upright(header.orientation, &image);
    return image;
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kUnavailable, "not enough memory to decode the picture; retry later");
  }
}

}  // namespace saccade
