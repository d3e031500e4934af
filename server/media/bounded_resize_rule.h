#pragma once

#include "server/media/part_rule.h"
#include "server/media/processor_fields.h"

namespace saccade {

// Idefics2ImageProcessor (transformers 4.57): the picture keeps its own size between two edges.
// Split, it is told as its four quarters and itself, each resized alone, so parts differ in size.
class BoundedResizeRule : public PartRule {
 public:
  BoundedResizeRule(const ProcessorFields& fields, bool do_resize, Filter filter);

  Status check(ImageSize original) const override;
  MediaLayout layout(ImageSize original, const PictureUse&) const override;
  ImageSize largest_step(ImageSize original, const PictureUse&) const override {
    return resized(original);
  }
  std::vector<RgbImage> cut(const RgbImage& image, const PictureUse&) const override;
  const char* size_fields() const override { return "size"; }
  std::string description() const override;

 private:
  ImageSize resized(ImageSize original) const;

  bool do_resize_;
  Filter filter_;
  ImageSize exact_{};        // `size` with height and width; 0x0: the edges count
  int shortest_edge_ = 378;  // pixels
  int longest_edge_ = 980;
  bool do_split_ = false;
};

}  // namespace saccade
