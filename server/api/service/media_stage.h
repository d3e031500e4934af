#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/media.h"
#include "server/api/service/metrics.h"
#include "server/media/file_store.h"
#include "server/media/image_probe.h"
#include "server/media/image_processor.h"
#include "server/media/media_cache.h"
#include "server/media/media_client.h"
#include "server/media/media_limits.h"
#include "server/media/url_guard.h"
#include "server/media/video_frames.h"
#include "server/media/video_loader.h"
#include "server/prompt/conversation.h"

namespace saccade::api {

struct RequestMediaLimits {
  int max_images = 64;                       // of one request
  int max_frames = 768;                      // of all its videos together, those that are looked at
  int64_t max_total_pixels = 256'000'000;    // of all its pictures together, as stored
  int64_t decode_memory = int64_t{1} << 30;  // bytes, for all pictures being decoded at a time
  int64_t cache_memory = int64_t{64} << 20;  // bytes, for pictures kept as the encoder takes them
};

// A picture or video whose header has been read.
struct ProbedMedia {
  std::string param;   // its URL's path in the request
  MediaLayout layout;  // what it becomes
  // A picture:
  std::string bytes = {};  // the encoded file
  ImageHeader header = {};
  PictureUse use = {};
  std::optional<ProbedVideo> video = {};  // or a video
};

// How a model takes pictures and the frames of videos. Null: it takes none.
struct MediaProcessors {
  const ImageProcessor* pictures = nullptr;
  const ImageProcessor* frames = nullptr;
  FrameRule rule = {};
};

// Bytes that several threads share; who asks for more than is left waits.
class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t bytes) : total_(bytes), left_(bytes) {}

  // Held for as long as the object lives. More than the whole budget counts as the whole.
  class Share {
   public:
    Share(MemoryBudget& budget, int64_t bytes);
    ~Share();
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

   private:
    MemoryBudget& budget_;
    const int64_t bytes_;
  };

 private:
  const int64_t total_;
  std::mutex mutex_;
  std::condition_variable freed_;
  int64_t left_;
};

// Pictures and videos of a request: first all headers, later (when the request is known to fit) the
// pixels. Runs on HTTP workers. Errors name the URL in `param`; kCancelled: the client left.
class MediaStage {
 public:
  MediaStage(const MediaProcessors& processors, MediaLimits image_limits, VideoLimits video_limits,
             RequestMediaLimits limits, FetchPolicy fetch, FileStore& files, Metrics& metrics);

  Result<std::vector<ProbedMedia>> probe(std::span<const ContentPart* const> parts,
                                         const MediaClient& client) const;
  // The same for a file's bytes, which need no URL.
  Result<ProbedMedia> probe_picture(std::string bytes, const PictureUse& use,
                                    const std::string& param) const;
  Result<ProbedMedia> probe_video(VideoData data, const ContentPart& part) const;
  // The frames of a video, each as a picture of its own, for models that take no videos.
  Result<std::vector<VideoFrame>> frames(const ContentPart& part, const MediaClient& client) const;

  // Takes the encoded bytes; a picture's are freed before pixels are normalised. With a `salt` the
  // item's hash is shared with those of the same salt alone. A picture that is still kept is not
  // decoded again. Adds the seconds it took.
  Result<std::shared_ptr<const MediaItem>> decode(ProbedMedia media, std::string_view salt,
                                                  const MediaClient& client, double& decode_seconds,
                                                  double& preprocess_seconds);

 private:
  // Whether the model takes pictures (videos) at all.
  Status takes(bool video) const;
  // Whether a URL names a stored file or an address that may be fetched.
  bool lies_elsewhere(const std::string& url) const;
  bool may_be_fetched(const std::string& url) const;
  // The encoded file behind a data: URL, a reference to a stored file, or an http(s) URL.
  Result<std::string> load(const std::string& url, const MediaClient& client) const;
  Result<VideoData> load_video_data(const ContentPart& part, const MediaClient& client) const;
  Result<ProbedMedia> probe_part(const ContentPart& part, bool alone,
                                 const MediaClient& client) const;
  Status check_count(std::span<const ContentPart* const> parts) const;
  Status check_sum(std::span<const ProbedMedia> media) const;
  Result<std::shared_ptr<const MediaItem>> picture(ProbedMedia media, std::string_view salt,
                                                   const MediaClient& client,
                                                   double& decode_seconds,
                                                   double& preprocess_seconds);
  Result<MediaItem> decode_picture(ProbedMedia media, const ContentHash& file_hash,
                                   const MediaClient& client, double& decode_seconds,
                                   double& preprocess_seconds);
  Result<std::shared_ptr<const MediaItem>> video(const ProbedVideo& video, std::string_view salt,
                                                 const MediaClient& client, double& decode_seconds);

  const MediaProcessors processors_;
  const MediaLimits image_limits_;
  const VideoLimits video_limits_;
  const RequestMediaLimits limits_;
  const FetchPolicy fetch_;
  FileStore& files_;
  Metrics& metrics_;
  MemoryBudget budget_;
  MediaCache cache_;
};

}  // namespace saccade::api
