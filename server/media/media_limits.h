#pragma once

#include <cstddef>
#include <cstdint>

namespace saccade {

// What the pictures of a request may cost. Every limit is checked on the encoded bytes or on the
// headers, before any pixel is decoded or any buffer of a picture's size exists.
struct MediaLimits {
  // One picture; held by decode_data_url (bytes) and probe_image.
  size_t max_image_bytes = size_t{32} << 20;  // encoded file, bytes
  int64_t max_image_pixels = 64'000'000;      // width x height as stored
  int max_image_side = 32768;                 // pixels
  int max_image_aspect = 200;                 // longer side / shorter side

  // All pictures of one request; held by MediaBudget.
  int max_request_images = 64;
  int64_t max_request_pixels = 256'000'000;
};

}  // namespace saccade
