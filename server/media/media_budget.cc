#include "server/media/media_budget.h"

#include <string>

namespace saccade {

Status MediaBudget::admit(const ImageHeader& header) {
  if (images_ >= limits_.max_request_images) {
    return invalid_argument("too many pictures; at most " +
                            std::to_string(limits_.max_request_images) +
                            " are allowed in a request");
  }
  const int64_t pixels = int64_t{header.width} * header.height;
  if (pixels > limits_.max_request_pixels - pixels_) {
    return invalid_argument("the pictures have more than " +
                            std::to_string(limits_.max_request_pixels) + " pixels in all");
  }
  ++images_;
  pixels_ += pixels;
  return Status();
}

}  // namespace saccade
