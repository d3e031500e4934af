#pragma once

#include <memory>

#include "server/media/part_rule.h"
#include "server/media/processor_fields.h"

namespace saccade {

// Idefics3ImageProcessor and SmolVLMImageProcessor (transformers 4.57, the slow classes): the
// picture grows or shrinks to a longest edge, then to whole tiles; the tiles come row by row and
// the whole picture, squashed to one tile, last. A picture of one tile stays whole.
class SplitRule : public PartRule {
 public:
  SplitRule(const ProcessorFields& fields, bool do_resize, Filter filter);

  MediaLayout layout(ImageSize original, const PictureUse& use) const override;
  ImageSize largest_step(ImageSize original, const PictureUse& use) const override;
  std::vector<RgbImage> cut(const RgbImage& image, const PictureUse& use) const override;
  const char* size_fields() const override { return "size and max_image_size"; }
  std::string description() const override;

 private:
  ImageSize resized(ImageSize original) const;
  ImageSize tiled(ImageSize resized, const PictureUse& use) const;

  bool do_resize_;
  Filter filter_;
  ImageSize exact_{};        // `size` with height and width; 0x0: longest_edge_ counts
  int longest_edge_ = 1456;  // pixels
  int tile_ = 364;           // side, pixels
  bool do_split_ = true;
};

}  // namespace saccade
