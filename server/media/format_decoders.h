#pragma once

#include <string_view>

#include "engine/core/status.h"
#include "server/media/image_decoder.h"

namespace saccade::media {

// Each decodes the picture as stored (not yet upright) into `image`, which already has the size
// the probe found; a file whose real size differs is refused.
Status decode_png(std::string_view bytes, RgbImage* image);
Status decode_jpeg(std::string_view bytes, RgbImage* image);
Status decode_webp(std::string_view bytes, RgbImage* image);
Status decode_gif(std::string_view bytes, RgbImage* image);
Status decode_bmp(std::string_view bytes, RgbImage* image);

// "damaged PNG: <detail>", with everything but printable ASCII taken out of a library's message.
Status damaged(std::string_view format, std::string_view detail);

}  // namespace saccade::media
