#pragma once

#include <cstddef>
#include <cstdint>

namespace saccade {

// What one picture may cost; held by decode_data_url (bytes) and probe_image. Every limit is
// checked on the encoded bytes or on the header, before any pixel is decoded or any buffer of the
// picture's size exists.
struct MediaLimits {
  size_t max_image_bytes = size_t{32} << 20;  // encoded file, bytes
  int64_t max_image_pixels = 64'000'000;      // width x height as stored
  int max_image_side = 32768;                 // pixels
  int max_image_aspect = 200;                 // longer side / shorter side
};

}  // namespace saccade
