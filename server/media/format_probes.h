#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/core/status.h"
#include "server/media/image_probe.h"

namespace saccade::media {

// What one format's header holds. Width and height are unchecked 32-bit numbers of the file.
struct ProbedHeader {
  uint32_t width = 0;
  uint32_t height = 0;
  int channels = 0;
  int bit_depth = 0;
  std::optional<std::string> exif;  // TIFF structure, perhaps behind "Exif\0\0"
  std::optional<std::string> xmp;
};

// Each is given a file that starts with its format's magic bytes.
Result<ProbedHeader> probe_png(std::string_view bytes);
Result<ProbedHeader> probe_jpeg(std::string_view bytes);
Result<ProbedHeader> probe_webp(std::string_view bytes);
Result<ProbedHeader> probe_gif(std::string_view bytes);
Result<ProbedHeader> probe_bmp(std::string_view bytes);

}  // namespace saccade::media
