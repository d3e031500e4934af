#pragma once

#include "server/media/part_rule.h"
#include "server/media/processor_fields.h"

namespace saccade {

// PixtralImageProcessor (transformers 4.57): the picture shrinks into a box at the same ratio, then
// each side grows to whole visual tokens.
class WholePatchesRule : public PartRule {
 public:
  WholePatchesRule(const ProcessorFields& fields, bool do_resize, Filter filter);

  Status check(ImageSize original) const override;
  MediaLayout layout(ImageSize original, const PictureUse&) const override {
    return {.original = original, .part = resized(original)};
  }
  ImageSize largest_step(ImageSize original, const PictureUse&) const override {
    return resized(original);
  }
  std::vector<RgbImage> cut(const RgbImage& image, const PictureUse&) const override;
  const char* size_fields() const override { return "size, patch_size and spatial_merge_size"; }
  std::string description() const override;

 private:
  ImageSize resized(ImageSize original) const;

  bool do_resize_;
  Filter filter_;
  ImageSize most_{1024, 1024};  // pixels
  int unit_ = 16;               // side of a visual token, pixels
};

}  // namespace saccade
