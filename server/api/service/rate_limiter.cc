#include "server/api/service/rate_limiter.h"

#include <algorithm>
#include <cmath>

namespace saccade::api {
namespace {

constexpr std::array<const char*, Account::kKinds> kNames = {"requests", "tokens", "pixels"};

std::string whole(double value) { return std::to_string(static_cast<int64_t>(value)); }

}  // namespace

Account::Account(const KeyLimits& limits) : max_streams_(limits.streams) {
  buckets_[kRequests].capacity = limits.requests_per_minute;
  buckets_[kTokens].capacity = limits.tokens_per_minute;
  buckets_[kPixels].capacity = limits.pixels_per_minute;
  for (Bucket& bucket : buckets_) bucket.level = bucket.capacity;
}

void Account::fill(Bucket& bucket, TimePoint now) const {
  const std::chrono::duration<double> passed = now - bucket.filled;
  if (bucket.filled != TimePoint{} && passed.count() > 0) {
    bucket.level = std::min(bucket.capacity, bucket.level + passed.count() * bucket.capacity / 60);
  }
  bucket.filled = std::max(bucket.filled, now);
}

Status Account::take(Kind kind, double amount, TimePoint now, double& retry_after) {
  std::lock_guard lock(mutex_);
  Bucket& bucket = buckets_[kind];
  if (bucket.capacity <= 0 || amount <= 0) return {};
  const std::string limit = whole(bucket.capacity) + " " + kNames[kind] + " a minute";
  if (amount > bucket.capacity) {
    return invalid_argument("the request needs " + whole(amount) + " " + kNames[kind] +
                            "; this key may use " + limit);
  }
  fill(bucket, now);
  if (bucket.level >= amount) {
    bucket.level -= amount;
    return {};
  }
  retry_after = (amount - bucket.level) * 60 / bucket.capacity;
  return Status(StatusCode::kRateLimited, "this key may use " + limit + "; try again in " +
                                              whole(std::ceil(retry_after)) + " s");
}

void Account::take_anyway(Kind kind, double amount, TimePoint now) {
  std::lock_guard lock(mutex_);
  Bucket& bucket = buckets_[kind];
  if (bucket.capacity <= 0) return;
  fill(bucket, now);
  bucket.level -= amount;
}

Status Account::open_stream() {
  std::lock_guard lock(mutex_);
  if (max_streams_ > 0 && streams_ >= max_streams_) {
    return Status(StatusCode::kRateLimited,
                  "this key may have " + std::to_string(max_streams_) + " streams open at a time");
  }
  ++streams_;
  return {};
}

void Account::close_stream() {
  std::lock_guard lock(mutex_);
  --streams_;
}

std::vector<std::pair<std::string, std::string>> Account::headers(TimePoint now) {
  std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, std::string>> headers;
  for (size_t kind = 0; kind < buckets_.size(); ++kind) {
    Bucket& bucket = buckets_[kind];
    if (bucket.capacity <= 0) continue;
    fill(bucket, now);
    const std::string name = kNames[kind];
    const double missing = bucket.capacity - bucket.level;
    headers.emplace_back("x-ratelimit-limit-" + name, whole(bucket.capacity));
    headers.emplace_back("x-ratelimit-remaining-" + name, whole(std::max(bucket.level, 0.0)));
    headers.emplace_back("x-ratelimit-reset-" + name,
                         whole(std::ceil(missing * 60 / bucket.capacity)) + "s");
  }
  return headers;
}

}  // namespace saccade::api
