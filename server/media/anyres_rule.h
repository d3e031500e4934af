#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "server/media/part_rule.h"
#include "server/media/processor_fields.h"

namespace saccade {

// LlavaNextImageProcessor and LlavaOnevisionImageProcessor (transformers 4.57, the slow classes):
// of the resolutions in image_grid_pinpoints the one that keeps most of the picture is chosen; the
// picture fills it without changing its shape, black around it, and is cut into tiles. The whole
// picture, squashed to one tile, comes first, then the tiles row by row. With detail "low" that one
// tile is all. OneVision makes one tile of each of several pictures, padded to a square.
class AnyresRule : public PartRule {
 public:
  struct Defaults {
    int tile = 0;  // side, pixels
    std::vector<ImageSize> resolutions;
    bool crops = true;         // the class cuts tiles of crop_size, not of size
    bool pads_single = false;  // one tile is padded to a square, not squashed, and ...
    // ... is all there is of a picture that is not alone.
  };
  static Defaults next();
  static Defaults onevision();

  AnyresRule(const ProcessorFields& fields, Filter filter, const std::array<double, 3>& mean,
             const Defaults& defaults);

  MediaLayout layout(ImageSize original, const PictureUse& use) const override;
  ImageSize largest_step(ImageSize original, const PictureUse& use) const override;
  std::vector<RgbImage> cut(const RgbImage& image, const PictureUse& use) const override;
  const char* size_fields() const override { return "size, crop_size and image_grid_pinpoints"; }
  std::string description() const override;

 private:
  void read_sizes(const ProcessorFields& fields, bool crops);
  void read_resolutions(const ProcessorFields& fields);
  ImageSize best_resolution(ImageSize original) const;

  bool single(const PictureUse& use) const;

  Filter filter_;
  int tile_;
  std::vector<ImageSize> resolutions_;
  bool pads_single_;
  std::array<uint8_t, 3> pad_color_{};
};

}  // namespace saccade
