#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "engine/core/types.h"

namespace saccade::api {

// What the holder of one API key may use. 0: as much as there is.
struct KeyLimits {
  double requests_per_minute = 0;
  double tokens_per_minute = 0;  // of prompts and answers
  double pixels_per_minute = 0;  // of pictures as stored
  int streams = 0;               // at a time
};

// What one API key has left. A bucket for each kind, of a minute's amount, fills evenly. What is
// known beforehand (requests, prompt tokens, pixels) must be there; what comes to light later (the
// answer's tokens) is taken all the same and has to be made up for. Thread-safe.
class Account {
 public:
  enum Kind { kRequests, kTokens, kPixels, kKinds };

  explicit Account(const KeyLimits& limits);

  // kRateLimited with the seconds to wait in `retry_after`; kInvalidArgument for more than a
  // minute's amount, which would never be there.
  Status take(Kind kind, double amount, TimePoint now, double& retry_after);
  void take_anyway(Kind kind, double amount, TimePoint now);
  Status open_stream();
  void close_stream();

  // x-ratelimit-{limit,remaining,reset}-{requests,tokens,pixels}, for those that are limited.
  std::vector<std::pair<std::string, std::string>> headers(TimePoint now);

 private:
  struct Bucket {
    double capacity = 0;  // of a minute; 0: without limit
    double level = 0;
    TimePoint filled{};
  };
  void fill(Bucket& bucket, TimePoint now) const;

  const int max_streams_;
  std::mutex mutex_;
  std::array<Bucket, kKinds> buckets_;
  int streams_ = 0;
};

}  // namespace saccade::api
