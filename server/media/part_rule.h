#pragma once

#include <string>
#include <vector>

#include "engine/core/media.h"
#include "engine/core/status.h"
#include "server/media/picture_use.h"
#include "server/media/resample.h"
#include "server/media/rgb_image.h"

namespace saccade {

// MAX_IMAGE_SIZE of transformers' Idefics 3 and SmolVLM processors.
inline constexpr int kMaxImageSide = 4096;

// How a class of processors resizes a picture and cuts it into the parts the encoder takes. One
// file for each rule; ImageProcessor does what is common to all: rescale, normalise, hash.
class PartRule {
 public:
  virtual ~PartRule() = default;
  // InvalidArgument for a picture that the class refuses.
  virtual Status check(ImageSize) const { return {}; }
  // Pure; `original` has sides of at least 1.
  virtual MediaLayout layout(ImageSize original, const PictureUse& use) const = 0;
  // The largest picture between input and parts, for the limit on work.
  virtual ImageSize largest_step(ImageSize original, const PictureUse& use) const = 0;
  // layout().parts pictures; the last has the size layout().part, and so have the others unless the
  // class resizes each alone.
  virtual std::vector<RgbImage> cut(const RgbImage& image, const PictureUse& use) const = 0;
  // The processor file's fields that decide layout().part, for messages.
  virtual const char* size_fields() const = 0;
  // Everything that decides the parts, in one line: it becomes part of every media hash.
  virtual std::string description() const = 0;
};

}  // namespace saccade
