#include "server/api/media_stage.h"

#include <algorithm>

#include "server/media/image_decoder.h"
#include "server/media/media_fetcher.h"
#include "server/media/media_loader.h"
#include "server/media/sha256.h"

namespace saccade::api {
namespace {

// What decoding one picture may take: three RGB copies, and the coefficients of a progressive JPEG.
int64_t decode_cost(const ProbedImage& image) {
  const int64_t pixels = int64_t{image.header.stored_width} * image.header.stored_height;
  const int64_t per_pixel = image.header.format == ImageFormat::kJpeg ? 15 : 9;
  return static_cast<int64_t>(image.bytes.size()) + pixels * per_pixel;
}

}  // namespace

MemoryBudget::Share::Share(MemoryBudget& budget, int64_t bytes)
    : budget_(budget), bytes_(std::min(bytes, budget.total_)) {
  std::unique_lock lock(budget_.mutex_);
  budget_.freed_.wait(lock, [this] { return budget_.left_ >= bytes_; });
  budget_.left_ -= bytes_;
}

MemoryBudget::Share::~Share() {
  {
    std::lock_guard lock(budget_.mutex_);
    budget_.left_ += bytes_;
  }
  budget_.freed_.notify_all();
}

MediaStage::MediaStage(const ImageProcessor* processor, MediaLimits image_limits,
                       RequestMediaLimits limits, FetchPolicy fetch, FileStore& files,
                       Metrics& metrics)
    : processor_(processor),
      image_limits_(image_limits),
      limits_(limits),
      fetch_(std::move(fetch)),
      files_(files),
      metrics_(metrics),
      budget_(limits.decode_memory) {}

Result<std::string> MediaStage::load(const std::string& url, int owner) const {
  if (is_file_reference(url)) {
    const Result<StoredFile> file = files_.find(url, owner);
    if (!file) return file.status();
    return *file->bytes;
  }
  if (!fetch_.domains.empty() && !url.starts_with("data:")) return fetch_media(url, fetch_);
  return decode_data_url(url, image_limits_);
}

Result<std::vector<ProbedImage>> MediaStage::probe(std::span<const ContentPart* const> images,
                                                   int owner) const {
  std::vector<ProbedImage> probed;
  if (images.empty()) return probed;
  if (processor_ == nullptr) {
    return invalid_argument("this model takes text only, no pictures", images.front()->param);
  }
  if (images.size() > static_cast<size_t>(limits_.max_images)) {
    return invalid_argument("the request holds " + std::to_string(images.size()) +
                                " pictures; at most " + std::to_string(limits_.max_images) +
                                " are taken",
                            "messages");
  }
  int64_t pixels = 0;
  for (const ContentPart* part : images) {
    Result<std::string> bytes = load(part->text, owner);
    if (!bytes) return bytes.status().with_param(part->param);
    const Result<ImageHeader> header = probe_image(*bytes, image_limits_);
    if (!header) return header.status().with_param(part->param);
    pixels += int64_t{header->stored_width} * header->stored_height;
    if (pixels > limits_.max_total_pixels) {
      return invalid_argument("the pictures of the request hold more than " +
                                  std::to_string(limits_.max_total_pixels) + " pixels",
                              part->param);
    }
    probed.push_back({*std::move(bytes), *header, part->param});
  }
  return probed;
}

Result<std::shared_ptr<const MediaItem>> MediaStage::decode(ProbedImage image,
                                                            double& decode_seconds,
                                                            double& preprocess_seconds) {
  const MemoryBudget::Share memory(budget_, decode_cost(image));
  const Stopwatch decode_time;
  const ContentHash file_hash = sha256(image.bytes);
  Result<RgbImage> pixels = decode_image(image.bytes, image.header);
  if (!pixels) return pixels.status().with_param(image.param);
  decode_seconds += decode_time.seconds();
  metrics_.media_decode(decode_time.seconds());
  image.bytes = {};
  const Stopwatch preprocess_time;
  Result<MediaItem> item = processor_->process(*pixels, file_hash);
  if (!item) return item.status().with_param(image.param);
  preprocess_seconds += preprocess_time.seconds();
  metrics_.media_preprocess(preprocess_time.seconds());
  return std::make_shared<const MediaItem>(*std::move(item));
}

}  // namespace saccade::api
