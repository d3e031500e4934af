#pragma once

#include <memory>

#include "server/media/part_rule.h"
#include "server/media/processor_fields.h"

namespace saccade {

// Qwen2VLImageProcessor (transformers 4.57): the picture keeps its own size, rounded to whole
// visual tokens and brought between two numbers of pixels. Qwen2VLVideoProcessor does the same to
// each frame, between numbers of its own.
class SmartResizeRule : public PartRule {
 public:
  // What a class assumes where its file is silent.
  struct Defaults {
    int64_t min_pixels;
    int64_t max_pixels;
  };
  static constexpr Defaults kPictures = {.min_pixels = 56 * 56, .max_pixels = 28 * 28 * 1280};
  static constexpr Defaults kFrames = {.min_pixels = 128 * 28 * 28, .max_pixels = 768 * 28 * 28};

  SmartResizeRule(const ProcessorFields& fields, bool do_resize, Filter filter,
                  const Defaults& defaults);

  Status check(ImageSize original) const override;
  MediaLayout layout(ImageSize original, const PictureUse& use) const override;
  ImageSize largest_step(ImageSize original, const PictureUse&) const override {
    return resized(original);
  }
  std::vector<RgbImage> cut(const RgbImage& image, const PictureUse& use) const override;
  const char* size_fields() const override { return "size, patch_size and merge_size"; }
  std::string description() const override;

 private:
  ImageSize resized(ImageSize original) const;

  bool do_resize_;
  Filter filter_;
  int unit_ = 28;  // pixels a side of one visual token
  int64_t min_pixels_;
  int64_t max_pixels_;
};

}  // namespace saccade
