#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/media.h"
#include "engine/core/model_info.h"
#include "engine/core/status.h"
#include "server/media/part_rule.h"
#include "server/media/resample.h"
#include "server/media/rgb_image.h"

namespace saccade {

// Turns upright RGB pictures into the vision encoder's pixel values, as a checkpoint's processor
// files say. The reference are the slow (Pillow) image processors of transformers 4.57: the 8-bit
// picture before rescaling is theirs bit for bit, the values are theirs to the last float32 bit.
// Immutable after loading; any thread may use it.
class ImageProcessor {
 public:
  // Reads preprocessor_config.json or, without it, `image_processor` of processor_config.json.
  // Knows the Blip, CLIP, Siglip, Llava, Idefics2, Idefics3, SmolVLM, Qwen2VL and Pixtral classes,
  // also under their "Fast" and "Pil" names and as "FeatureExtractor", and OpenClip, ours for the
  // torchvision steps of OpenAI's CLIP and OpenCLIP; absent fields have the class's defaults.
  // LoadError names the file and the field.
  static ImageProcessor load(const std::filesystem::path& model_dir);

  // The same for the frames of videos: video_preprocessor_config.json, else `video_processor` of
  // processor_config.json, else the picture processor's file (as folders had it before 4.52). Every
  // frame makes one part. `rule` becomes what the file says of num_frames and fps.
  static ImageProcessor load_for_video(const std::filesystem::path& model_dir, FrameRule* rule);

  // What `process` will deliver for an upright picture of this size: a function of the header
  // alone. InvalidArgument when the picture would grow beyond kMaxWorkPixels on the way.
  Result<MediaLayout> layout(ImageSize original, const PictureUse& use = {}) const;

  // Resize, crop or split, rescale, normalise -> pixels [parts, 3, H, W]. `file_hash` is the
  // SHA-256 of the encoded file the picture came from. Fails as layout does.
  Result<MediaItem> process(const RgbImage& image, const ContentHash& file_hash,
                            const PictureUse& use = {}) const;

  // The same values for one frame of a video, behind those that are there. The caller has asked
  // layout() whether the frame may be processed.
  void append_pixels(const RgbImage& image, std::vector<float>& pixels) const;

  // Names what `process` makes of a file: SHA-256 over the file's hash and everything that decides
  // the pixel values. Equal to the hash of the MediaItem, but known before decoding.
  ContentHash media_hash(const ContentHash& file_hash, const PictureUse& use = {}) const;

  // The file's fields that decide the size of what `process` delivers, for messages.
  const char* size_fields() const { return rule_ ? rule_->size_fields() : "size and crop_size"; }

  // All settings in one line, e.g. for `inspect`.
  const std::string& description() const { return description_; }

  static constexpr int64_t kMaxWorkPixels = 64'000'000;  // of any step between input and output

 private:
  friend class ImageProcessorReader;
  ImageProcessor() = default;

  ImageSize padded_size(ImageSize original) const;
  ImageSize resized_size(ImageSize padded) const;
  // The picture's parts just before rescaling, 8 bits per sample.
  std::vector<RgbImage> prepare(const RgbImage& image, const PictureUse& use) const;
  RgbImage prepare_single(const RgbImage& image) const;
  void append_values(const RgbImage& part, std::vector<float>& pixels) const;
  void fill_tables();

  enum class ResizeRule { kExact, kShortestEdge };

  std::string type_;  // the class's name without "Fast" and "Pil"
  // Of the classes that cut a picture into parts. Null: one part, by the fields below.
  std::shared_ptr<const PartRule> rule_;
  bool do_pad_ = false;  // to a square, with the mean colour
  bool do_resize_ = true;
  ResizeRule resize_rule_ = ResizeRule::kExact;
  ImageSize size_;         // kExact
  int shortest_edge_ = 0;  // kShortestEdge, pixels
  Filter filter_ = Filter::kBicubic;
  bool do_center_crop_ = false;
  ImageSize crop_size_;
  bool crops_to_even_ = false;  // torchvision's rounding of half a pixel
  bool do_rescale_ = true;
  double rescale_factor_ = 1.0 / 255.0;
  bool do_normalize_ = true;
  std::array<double, 3> mean_{};
  std::array<double, 3> std_{};
  std::array<uint8_t, 3> pad_color_{};
  std::array<std::array<float, 256>, 3> tables_{};  // [channel][8-bit level] -> pixel value
  std::string description_;
};

}  // namespace saccade
