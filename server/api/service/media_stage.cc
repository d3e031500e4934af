#include "server/api/service/media_stage.h"

#include <algorithm>

#include "server/api/fields/field.h"
#include "server/media/image_decoder.h"
#include "server/media/media_fetcher.h"
#include "server/media/media_loader.h"
#include "server/media/sha256.h"

namespace saccade::api {
namespace {

const Status kClientLeft(StatusCode::kCancelled, "the client left");

// What decoding one picture may take: three RGB copies, and the coefficients of a progressive JPEG.
int64_t decode_cost(const ProbedMedia& image) {
  const int64_t pixels = int64_t{image.header.stored_width} * image.header.stored_height;
  const int64_t per_pixel = image.header.format == ImageFormat::kJpeg ? 15 : 9;
  return static_cast<int64_t>(image.bytes.size()) + pixels * per_pixel;
}

// Of the values that the encoder takes.
int64_t pixel_bytes(const MediaLayout& layout) {
  return int64_t{layout.parts} * layout.part.height * layout.part.width * 3 *
         static_cast<int64_t>(sizeof(float));
}

ContentHash salted(const ContentHash& hash, std::string_view salt) {
  return salt.empty() ? hash : sha256({as_bytes(hash), salt});
}

// One frame at a time as a picture, the frames a decoder refers to, and the values of all.
int64_t decode_cost(const ProbedVideo& video) {
  constexpr int64_t kFramesOfDecoder = 20;
  int64_t pixels = int64_t{video.header.width} * video.header.height * kFramesOfDecoder;
  for (const ImageHeader& picture : video.pictures) {
    pixels = std::max(pixels, int64_t{picture.stored_width} * picture.stored_height * 5);
  }
  return pixels * 3 + pixel_bytes(video.layout);
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

MediaStage::MediaStage(const MediaProcessors& processors, MediaLimits image_limits,
                       VideoLimits video_limits, RequestMediaLimits limits, FetchPolicy fetch,
                       FileStore& files, Metrics& metrics)
    : processors_(processors),
      image_limits_(image_limits),
      video_limits_(video_limits),
      limits_(limits),
      fetch_(std::move(fetch)),
      files_(files),
      metrics_(metrics),
      budget_(limits.decode_memory),
      cache_(limits.cache_memory) {}

bool MediaStage::lies_elsewhere(const std::string& url) const {
  return is_file_reference(url) || may_be_fetched(url);
}

bool MediaStage::may_be_fetched(const std::string& url) const {
  return !fetch_.domains.empty() && !is_data_url(url);
}

Result<std::string> MediaStage::load(const std::string& url, const MediaClient& client) const {
  if (is_file_reference(url)) {
    const Result<StoredFile> file = files_.find(url, client.key);
    if (!file) return file.status();
    return *file->bytes;
  }
  if (may_be_fetched(url)) return fetch_media(url, fetch_, client);
  return decode_data_url(url, image_limits_);
}

Result<std::vector<ProbedMedia>> MediaStage::probe(std::span<const ContentPart* const> parts,
                                                   const MediaClient& client) const {
  if (Status status = check_count(parts); !status.ok()) return status;
  const auto pictures = std::count_if(parts.begin(), parts.end(), [](const ContentPart* part) {
    return part->kind == ContentPart::Kind::kImage;
  });
  std::vector<ProbedMedia> probed;
  for (const ContentPart* part : parts) {
    if (client.left()) return kClientLeft;
    Result<ProbedMedia> one = probe_part(*part, /*alone=*/pictures == 1, client);
    if (!one)
      return one.status().param().empty() ? one.status().with_param(part->param) : one.status();
    probed.push_back(*std::move(one));
    if (Status status = check_sum(probed); !status.ok()) return status;
  }
  return probed;
}

Status MediaStage::takes(bool video) const {
  const bool pictures = processors_.pictures != nullptr, videos = processors_.frames != nullptr;
  if (video ? videos : pictures) return {};
  if (!pictures && !videos) return invalid_argument("this model takes text only, no pictures");
  return invalid_argument(video ? "this model takes no videos"
                                : "this model takes videos, no single pictures");
}

Status MediaStage::check_count(std::span<const ContentPart* const> parts) const {
  size_t pictures = 0;
  for (const ContentPart* part : parts) {
    const bool video = part->kind == ContentPart::Kind::kVideo;
    pictures += video ? 0 : 1;
    if (Status status = takes(video); !status.ok()) return status.with_param(part->param);
  }
  if (pictures > static_cast<size_t>(limits_.max_images)) {
    return invalid_argument("the request holds " + std::to_string(pictures) +
                                " pictures; at most " + std::to_string(limits_.max_images) +
                                " are taken",
                            "messages");
  }
  return {};
}

// Of all that was probed; the last one is to blame.
Status MediaStage::check_sum(std::span<const ProbedMedia> media) const {
  int64_t pixels = 0, frames = 0;
  for (const ProbedMedia& one : media) {
    pixels += one.video ? one.video->pixels()
                        : int64_t{one.header.stored_width} * one.header.stored_height;
    frames += one.video ? one.layout.parts : 0;
  }
  const std::string& param = media.back().param;
  if (pixels > limits_.max_total_pixels) {
    return invalid_argument("the pictures and frames of the request hold more than " +
                                std::to_string(limits_.max_total_pixels) + " pixels",
                            param);
  }
  if (frames > limits_.max_frames) {
    return invalid_argument("the videos of the request have " + std::to_string(frames) +
                                " frames to look at; at most " +
                                std::to_string(limits_.max_frames) + " are taken (num_frames)",
                            param);
  }
  return {};
}

Result<ProbedMedia> MediaStage::probe_part(const ContentPart& part, bool alone,
                                           const MediaClient& client) const {
  if (part.kind == ContentPart::Kind::kImage) {
    Result<std::string> bytes = load(part.text, client);
    if (!bytes) return bytes.status();
    return probe_picture(*std::move(bytes), {part.detail, alone}, part.param);
  }
  Result<VideoData> data = load_video_data(part, client);
  if (!data) return data.status();
  return probe_video(*std::move(data), part);
}

Result<std::vector<VideoFrame>> MediaStage::frames(const ContentPart& part,
                                                   const MediaClient& client) const {
  Result<VideoData> data = load_video_data(part, client);
  if (!data) return data.status();
  const FrameBudget budget{limits_.max_images, limits_.max_total_pixels};
  return frames_of(*std::move(data), part.list_fps, part.sampling, video_limits_, budget);
}

Result<VideoData> MediaStage::load_video_data(const ContentPart& part,
                                              const MediaClient& client) const {
  VideoData data;
  if (part.frames.empty() && lies_elsewhere(part.text)) {
    Result<std::string> bytes = load(part.text, client);
    if (!bytes) return bytes.status();
    data.file = *std::move(bytes);
  } else if (part.frames.empty()) {
    Result<VideoData> decoded = decode_video_url(part.text, video_limits_, image_limits_);
    if (!decoded) return decoded.status();
    data = *std::move(decoded);
  }
  for (size_t i = 0; i < part.frames.size(); ++i) {
    if (client.left()) return kClientLeft;
    Result<std::string> bytes = load(part.frames[i], client);
    if (!bytes) return bytes.status().with_param(element_path(part.param, i));
    data.frames.push_back(*std::move(bytes));
  }
  return data;
}

Result<ProbedMedia> MediaStage::probe_picture(std::string bytes, const PictureUse& use,
                                              const std::string& param) const {
  if (Status status = takes(/*video=*/false); !status.ok()) return status.with_param(param);
  const Result<ImageHeader> header = probe_image(bytes, image_limits_);
  if (!header) return header.status();
  const Result<MediaLayout> layout =
      processors_.pictures->layout({header->height, header->width}, use);
  if (!layout) return layout.status();
  return ProbedMedia{param, *layout, std::move(bytes), *header, use};
}

Result<ProbedMedia> MediaStage::probe_video(VideoData data, const ContentPart& part) const {
  if (Status status = takes(/*video=*/true); !status.ok()) return status.with_param(part.param);
  Result<ProbedVideo> video =
      probe_video_data(std::move(data), part.list_fps, processors_.rule, part.sampling,
                       video_limits_, image_limits_, *processors_.frames);
  if (!video) return video.status();
  if (pixel_bytes(video->layout) > limits_.decode_memory) {
    return invalid_argument("the video's frames would take " +
                            std::to_string(pixel_bytes(video->layout) >> 20) +
                            " MiB of memory; ask for fewer (num_frames)");
  }
  const MediaLayout layout = video->layout;
  return ProbedMedia{part.param, layout, {}, {}, {}, *std::move(video)};
}

Result<std::shared_ptr<const MediaItem>> MediaStage::decode(ProbedMedia media,
                                                            std::string_view salt,
                                                            const MediaClient& client,
                                                            double& decode_seconds,
                                                            double& preprocess_seconds) {
  const std::string param = media.param;
  Result<std::shared_ptr<const MediaItem>> item =
      media.video ? video(*media.video, salt, client, decode_seconds)
                  : picture(std::move(media), salt, client, decode_seconds, preprocess_seconds);
  return item ? item : item.status().with_param(param);
}

Result<std::shared_ptr<const MediaItem>> MediaStage::picture(ProbedMedia media,
                                                             std::string_view salt,
                                                             const MediaClient& client,
                                                             double& decode_seconds,
                                                             double& preprocess_seconds) {
  const Stopwatch lookup_time;
  const ContentHash file_hash = sha256(media.bytes);
  const ContentHash hash = salted(processors_.pictures->media_hash(file_hash, media.use), salt);
  std::shared_ptr<const MediaItem> kept = cache_.find(hash);
  decode_seconds += lookup_time.seconds();
  if (kept) return kept;
  Result<MediaItem> decoded =
      decode_picture(std::move(media), file_hash, client, decode_seconds, preprocess_seconds);
  if (!decoded) return decoded.status();
  decoded->hash = hash;
  auto item = std::make_shared<const MediaItem>(*std::move(decoded));
  cache_.keep(item);
  return item;
}

Result<MediaItem> MediaStage::decode_picture(ProbedMedia media, const ContentHash& file_hash,
                                             const MediaClient& client, double& decode_seconds,
                                             double& preprocess_seconds) {
  const MemoryBudget::Share memory(budget_, decode_cost(media));
  if (client.left()) return kClientLeft;  // it may have waited long
  const Stopwatch decode_time;
  const Result<RgbImage> pixels = decode_image(media.bytes, media.header);
  if (!pixels) return pixels.status();
  decode_seconds += decode_time.seconds();
  metrics_.media_decode(decode_time.seconds());
  media.bytes = {};
  if (client.left()) return kClientLeft;
  const Stopwatch preprocess_time;
  Result<MediaItem> item = processors_.pictures->process(*pixels, file_hash, media.use);
  preprocess_seconds += preprocess_time.seconds();
  if (item.ok()) metrics_.media_preprocess(preprocess_time.seconds());
  return item;
}

// Frames are resized as they are decoded: both times are one.
Result<std::shared_ptr<const MediaItem>> MediaStage::video(const ProbedVideo& video,
                                                           std::string_view salt,
                                                           const MediaClient& client,
                                                           double& decode_seconds) {
  const MemoryBudget::Share memory(budget_, decode_cost(video));
  if (client.left()) return kClientLeft;
  const Stopwatch decode_time;
  Result<MediaItem> item = load_video(video, video_limits_, *processors_.frames);
  decode_seconds += decode_time.seconds();
  if (!item) return item.status();
  metrics_.media_decode(decode_time.seconds());
  item->hash = salted(item->hash, salt);
  return std::make_shared<const MediaItem>(*std::move(item));
}

}  // namespace saccade::api
