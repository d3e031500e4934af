#pragma once

#include <string>
#include <string_view>

#include "engine/core/status.h"
#include "server/media/media_limits.h"

namespace saccade {

// RFC 4648 section 4, strictly: the standard alphabet, full padding, no white space and no bits
// left over behind the last byte. InvalidArgument otherwise, or when the result would be longer
// than `max_bytes` (found from the length of the text, before anything is decoded).
Result<std::string> decode_base64(std::string_view text, size_t max_bytes);

// Whether it begins with "data:", in any case.
bool is_data_url(std::string_view url);

// A data: URL taken apart, as views of it.
struct DataUrl {
  std::string_view header;  // between the scheme and the first comma
  std::string_view data;    // behind it
};

// Of a data: URL. InvalidArgument where there is no comma among its first
// 1024 characters: headers are short, and one further on belongs to nothing we accept.
Result<DataUrl> split_data_url(std::string_view url);

// Whether a picture may be declared to be of that type, in any case.
bool is_picture_type(std::string_view type);
// The usual ones, for messages.
inline constexpr const char* kPictureTypes =
    "image/png, image/jpeg, image/webp, image/gif and image/bmp";

// The encoded picture (a PNG, JPEG, WebP, GIF or BMP file) inside a
// `data:image/TYPE[;parameter]*;base64,DATA` URL. The declared type must be a picture type
// (is_picture_type), but which format it really is, the bytes decide (probe_image). InvalidArgument
// for everything else: http(s) URLs are not fetched and file paths are never opened.
Result<std::string> decode_data_url(std::string_view url, const MediaLimits& limits);

}  // namespace saccade
