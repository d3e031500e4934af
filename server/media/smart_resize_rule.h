#pragma once

#include <memory>

#include "server/media/part_rule.h"
#include "server/media/processor_fields.h"

namespace saccade {

// Qwen2VLImageProcessor (transformers 4.57): the picture keeps its own size, rounded to whole
// visual tokens and brought between two numbers of pixels.
class SmartResizeRule : public PartRule {
 public:
  SmartResizeRule(const ProcessorFields& fields, bool do_resize, Filter filter);

  Status check(ImageSize original) const override;
  MediaLayout layout(ImageSize original, const PictureUse& use) const override;
  ImageSize largest_step(ImageSize original, const PictureUse&) const override {
    return resized(original);
  }
  std::vector<RgbImage> cut(const RgbImage& image, const PictureUse& use) const override;
  std::string description() const override;

 private:
  ImageSize resized(ImageSize original) const;

  bool do_resize_;
  Filter filter_;
  int unit_ = 28;  // pixels a side of one visual token
  int64_t min_pixels_ = 56 * 56;
  int64_t max_pixels_ = 28 * 28 * 1280;
};

}  // namespace saccade
