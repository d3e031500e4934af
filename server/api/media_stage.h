#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/core/media.h"
#include "server/api/metrics.h"
#include "server/media/file_store.h"
#include "server/media/image_probe.h"
#include "server/media/image_processor.h"
#include "server/media/media_limits.h"
#include "server/media/url_guard.h"
#include "server/prompt/conversation.h"

namespace saccade::api {

struct RequestMediaLimits {
  int max_images = 64;                       // of one request
  int64_t max_total_pixels = 256'000'000;    // of all its pictures together, as stored
  int64_t decode_memory = int64_t{1} << 30;  // bytes, for all pictures being decoded at a time
};

// A picture whose header has been read.
struct ProbedImage {
  std::string bytes;  // the encoded file
  ImageHeader header;
  std::string param;  // its URL's path in the request
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

// Pictures of a request: first all headers, later (when the request is known to fit) the pixels.
// Runs on HTTP workers. Errors name the picture's URL in `param`.
class MediaStage {
 public:
  // `processor` null: a text-only model.
  MediaStage(const ImageProcessor* processor, MediaLimits image_limits, RequestMediaLimits limits,
             FetchPolicy fetch, FileStore& files, Metrics& metrics);

  // `owner`: the API key whose stored files may be referred to.
  Result<std::vector<ProbedImage>> probe(std::span<const ContentPart* const> images,
                                         int owner) const;
  // Takes the encoded bytes; they are freed before pixels are normalised.
  // Adds the seconds it took.
  Result<std::shared_ptr<const MediaItem>> decode(ProbedImage image, double& decode_seconds,
                                                  double& preprocess_seconds);

 private:
  // The encoded file behind a data: URL, a reference to a stored file, or an http(s) URL.
  Result<std::string> load(const std::string& url, int owner) const;

  const ImageProcessor* processor_;
  const MediaLimits image_limits_;
  const RequestMediaLimits limits_;
  const FetchPolicy fetch_;
  FileStore& files_;
  Metrics& metrics_;
  MemoryBudget budget_;
};

}  // namespace saccade::api
