#pragma once

#include "server/media/part_rule.h"
#include "server/media/processor_fields.h"

namespace saccade {

// SmolVLMVideoProcessor (transformers 4.57): a frame is scaled until its longer side has a certain
// length, then squashed to a square. Never cut into tiles.
class SquashRule : public PartRule {
 public:
  SquashRule(const ProcessorFields& fields, bool do_resize, Filter filter);

  MediaLayout layout(ImageSize original, const PictureUse& use) const override;
  ImageSize largest_step(ImageSize original, const PictureUse&) const override;
  std::vector<RgbImage> cut(const RgbImage& image, const PictureUse& use) const override;
  const char* size_fields() const override { return "size and max_image_size"; }
  std::string description() const override;

 private:
  void read_size(const ProcessorFields& fields, const std::string& field);
  ImageSize scaled(ImageSize original) const;

  bool do_resize_;
  Filter filter_;
  int longest_edge_ = 4 * 364;  // pixels, of the first step
  ImageSize exact_;             // of the first step, in its place
  int side_ = 364;              // pixels, of the square
};

}  // namespace saccade
