#include "server/media/image_probe.h"

#include <algorithm>
#include <optional>
#include <string>

#include "server/media/exif.h"
#include "server/media/format_probes.h"

namespace saccade {
namespace {

std::optional<ImageFormat> format_of(std::string_view bytes) {
  const auto starts_with = [&](std::string_view magic) {
    return bytes.substr(0, magic.size()) == magic;
  };
  if (starts_with("\x89PNG\r\n\x1a\n")) return ImageFormat::kPng;
  if (starts_with("\xff\xd8\xff")) return ImageFormat::kJpeg;
  if (starts_with("RIFF") && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP") {
    return ImageFormat::kWebp;
  }
  if (starts_with("GIF87a") || starts_with("GIF89a")) return ImageFormat::kGif;
  if (starts_with("BM")) return ImageFormat::kBmp;
  return std::nullopt;
}

Result<media::ProbedHeader> probe_format(ImageFormat format, std::string_view bytes) {
  switch (format) {
    case ImageFormat::kPng:
      return media::probe_png(bytes);
    case ImageFormat::kJpeg:
      return media::probe_jpeg(bytes);
    case ImageFormat::kWebp:
      return media::probe_webp(bytes);
    case ImageFormat::kGif:
      return media::probe_gif(bytes);
    case ImageFormat::kBmp:
      return media::probe_bmp(bytes);
  }
  return invalid_argument("unknown picture format");
}

Status check_size(uint32_t width, uint32_t height, const MediaLimits& limits) {
  const std::string size = std::to_string(width) + "x" + std::to_string(height);
  if (width == 0 || height == 0) return invalid_argument("the picture is empty (" + size + ")");
  const uint32_t longer = std::max(width, height), shorter = std::min(width, height);
  if (longer > static_cast<uint32_t>(limits.max_image_side)) {
    return invalid_argument("the picture is " + size + " pixels; a side may have at most " +
                            std::to_string(limits.max_image_side));
  }
  if (uint64_t{width} * height > static_cast<uint64_t>(limits.max_image_pixels)) {
    return invalid_argument("the picture is " + size + " pixels; at most " +
                            std::to_string(limits.max_image_pixels) + " in all are allowed");
  }
  if (longer > uint64_t{shorter} * static_cast<uint32_t>(limits.max_image_aspect)) {
    return invalid_argument("the picture is " + size + " pixels; the longer side may be at most " +
                            std::to_string(limits.max_image_aspect) + " times the shorter");
  }
  return Status();
}

}  // namespace

std::string_view format_name(ImageFormat format) {
  static constexpr std::string_view kNames[] = {"PNG", "JPEG", "WebP", "GIF", "BMP"};
  return kNames[static_cast<int>(format)];
}

Result<ImageHeader> probe_image(std::string_view bytes, const MediaLimits& limits) {
  if (bytes.size() > limits.max_image_bytes) {
    return invalid_argument("the picture is " + std::to_string(bytes.size()) +
                            " bytes long; at most " + std::to_string(limits.max_image_bytes) +
                            " bytes are allowed");
  }
  const std::optional<ImageFormat> format = format_of(bytes);
  if (!format) {
    return invalid_argument(
        "not a picture we can read; supported are PNG, JPEG, WebP, GIF and BMP");
  }
  const Result<media::ProbedHeader> probed = probe_format(*format, bytes);
  if (!probed.ok()) return probed.status();
  if (Status status = check_size(probed->width, probed->height, limits); !status.ok())
    return status;
  ImageHeader header;
  header.format = *format;
  header.stored_width = static_cast<int>(probed->width);
  header.stored_height = static_cast<int>(probed->height);
  header.channels = probed->channels;
  header.bit_depth = probed->bit_depth;
  header.orientation = media::find_orientation(probed->exif, probed->xmp);
  const bool swapped = header.orientation >= 5;
  header.width = swapped ? header.stored_height : header.stored_width;
  header.height = swapped ? header.stored_width : header.stored_height;
  return header;
}

}  // namespace saccade
