#pragma once

#include "engine/core/status.h"
#include "server/media/image_probe.h"
#include "server/media/media_limits.h"

namespace saccade {

// Counts the pictures of one request against what a request may hold. Used on the headers, before
// the first picture is decoded.
class MediaBudget {
 public:
  explicit MediaBudget(const MediaLimits& limits) : limits_(limits) {}

  // Admits one more picture, or says which limit it would break (InvalidArgument).
  Status admit(const ImageHeader& header);

  int images() const { return images_; }
  int64_t pixels() const { return pixels_; }

 private:
  MediaLimits limits_;
  int images_ = 0;
  int64_t pixels_ = 0;
};

}  // namespace saccade
