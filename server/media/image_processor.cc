#include "server/media/image_processor.h"

#include <algorithm>
#include <cstring>

#include "server/media/pad_to_square.h"
#include "server/media/sha256.h"

namespace saccade {
namespace {

// Cuts the middle out; what the picture lacks is black. Python's floor division for odd
// differences, and the padding rounded up, as transformers' center_crop. `to_even`: halves are
// rounded to the even pixel, and the padding down, as torchvision's.
RgbImage center_crop(const RgbImage& image, ImageSize size, bool to_even) {
  // offset of the crop's first row (column) in the picture; negative where it starts outside
  const auto offset = [to_even](int have, int want) {
    const int difference = have - want;
    if (to_even && difference < 0) return -(-difference / 2);
    if (to_even) return difference / 2 + (difference % 4 == 3 ? 1 : 0);
    return difference >= 0 ? difference / 2 : -((1 - difference) / 2);
  };
  const auto padded_offset = [&](int have, int want) {
    const int pad = (std::max(have, want) - have + 1) / 2;
    return std::max(0, offset(have, want) + pad) - pad;
  };
  const int top = padded_offset(image.height, size.height);
  const int left = padded_offset(image.width, size.width);
  RgbImage out(size.width, size.height);
  const int first_column = std::max(0, -left);
  const int end_column = std::min(size.width, image.width - left);
  for (int y = 0; y < size.height; ++y) {
    const int source = y + top;
    if (source < 0 || source >= image.height || end_column <= first_column) continue;
    std::memcpy(out.row(y) + 3 * first_column, image.row(source) + 3 * (first_column + left),
                size_t(end_column - first_column) * 3);
  }
  return out;
}

}  // namespace

ImageSize ImageProcessor::padded_size(ImageSize original) const {
  if (!do_pad_) return original;
  const int side = std::max(original.height, original.width);
  return {side, side};
}

ImageSize ImageProcessor::resized_size(ImageSize padded) const {
  if (!do_resize_) return padded;
  if (resize_rule_ == ResizeRule::kExact) return size_;
  // int(shortest * long / short): Python divides integers to a double and cuts it off.
  const auto scaled = [&](int longer, int shorter) {
    const double exact = static_cast<double>(int64_t{shortest_edge_} * longer) / shorter;
    return static_cast<int>(std::min(exact, 1e9));
  };
  if (padded.width <= padded.height) {
    return {scaled(padded.height, padded.width), shortest_edge_};
  }
  return {shortest_edge_, scaled(padded.width, padded.height)};
}

Result<MediaLayout> ImageProcessor::layout(ImageSize original, const PictureUse& use) const {
  const ImageSize padded = padded_size(original);
  const ImageSize resized = rule_ ? rule_->largest_step(original, use) : resized_size(padded);
  for (const ImageSize& step : {padded, resized}) {
    if (int64_t{step.height} * step.width > kMaxWorkPixels) {
      return invalid_argument(
          "the picture is too long and narrow for this model: it would become " +
          std::to_string(step.width) + "x" + std::to_string(step.height) + " pixels");
    }
  }
  if (rule_) {
    if (Status status = rule_->check(original); !status.ok()) return status;
    return rule_->layout(original, use);
  }
  return MediaLayout{.original = original, .part = do_center_crop_ ? crop_size_ : resized};
}

std::vector<RgbImage> ImageProcessor::prepare(const RgbImage& image, const PictureUse& use) const {
  if (rule_) return rule_->cut(image, use);
  std::vector<RgbImage> parts;
  parts.push_back(prepare_single(image));
  return parts;
}

RgbImage ImageProcessor::prepare_single(const RgbImage& image) const {
  RgbImage current;
  const RgbImage* input = &image;
  if (do_pad_ && image.height != image.width) {
    current = pad_to_square(image, pad_color_);
    input = &current;
  }
  if (do_resize_) {
    const ImageSize size = resized_size({input->height, input->width});
    current = resize(*input, size.width, size.height, filter_);
    input = &current;
  }
  if (do_center_crop_) return center_crop(*input, crop_size_, crops_to_even_);
  return input == &current ? std::move(current) : image;
}

Result<MediaItem> ImageProcessor::process(const RgbImage& image, const ContentHash& file_hash,
                                          const PictureUse& use) const {
  const Result<MediaLayout> layout = this->layout({image.height, image.width}, use);
  if (!layout.ok()) return layout.status();
  const std::vector<RgbImage> parts = prepare(image, use);
  MediaItem item;
  item.kind = MediaKind::kImage;
  item.frames = layout->parts;
  item.height = layout->part.height;
  item.width = layout->part.width;
  item.rows = layout->rows;
  item.columns = layout->columns;
  item.original_height = image.height;
  item.original_width = image.width;
  item.hash = media_hash(file_hash, use);
  size_t samples = 0;
  bool differ = false;
  for (const RgbImage& part : parts) {
    samples += part.pixels.size();
    differ |= part.height != item.height || part.width != item.width;
  }
  item.pixels.reserve(samples);
  for (const RgbImage& part : parts) {
    if (differ) item.part_sizes.push_back({part.height, part.width});
    append_values(part, item.pixels);
  }
  return item;
}

void ImageProcessor::append_pixels(const RgbImage& image, std::vector<float>& pixels) const {
  for (const RgbImage& part : prepare(image, {})) append_values(part, pixels);
}

// [3, height, width] behind what is there.
void ImageProcessor::append_values(const RgbImage& part, std::vector<float>& pixels) const {
  const size_t plane = size_t(part.width) * size_t(part.height), start = pixels.size();
  pixels.resize(start + 3 * plane);
  float* out = pixels.data() + start;
  for (size_t c = 0; c < 3; ++c) {
    const std::array<float, 256>& table = tables_[c];
    const uint8_t* in = part.pixels.data() + c;
    for (size_t i = 0; i < plane; ++i, in += 3) *out++ = table[*in];
  }
}

ContentHash ImageProcessor::media_hash(const ContentHash& file_hash, const PictureUse& use) const {
  const char how[] = {static_cast<char>('0' + static_cast<int>(use.detail)), use.alone ? '1' : '0'};
  return sha256({as_bytes(file_hash), description_, {rule_ ? how : "", rule_ ? sizeof how : 0}});
}

// A sample has 256 values, so every value after rescaling and normalising fits in a table. The
// steps are transformers': rescale in double, round to float, subtract and divide in float.
void ImageProcessor::fill_tables() {
  for (size_t c = 0; c < 3; ++c) {
    const auto mean = static_cast<float>(mean_[c]), std = static_cast<float>(std_[c]);
    for (size_t level = 0; level < 256; ++level) {
      auto value = static_cast<float>(level);
      if (do_rescale_) value = static_cast<float>(static_cast<double>(level) * rescale_factor_);
      if (do_normalize_) value = (value - mean) / std;
      tables_[c][level] = value;
    }
  }
}

}  // namespace saccade
