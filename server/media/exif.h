#pragma once

#include <optional>
#include <string_view>

namespace saccade::media {

// How the stored picture must be turned to stand upright: 1..8 as in EXIF tag 274 (1: as it is).
// Found as Pillow's Image.getexif does: the tag of the EXIF block; without it, `tiff:Orientation`
// of the XMP packet. `exif` is a TIFF structure, with or without "Exif\0\0" before it. A damaged
// EXIF block counts as none (Pillow refuses some of these pictures, reads others).
int find_orientation(std::optional<std::string_view> exif, std::optional<std::string_view> xmp);

}  // namespace saccade::media
