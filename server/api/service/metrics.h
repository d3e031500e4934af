#pragma once

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <chrono>
#include <memory>
#include <string>

#include "engine/core/engine_stats.h"
#include "engine/core/token_stream.h"

namespace saccade::api {

// What /metrics tells. Counters and histograms live here; what the engine counts itself is read
// from its stats when asked. Thread-safe.
class Metrics {
 public:
  explicit Metrics(const std::string& model_name);

  void http_request(const std::string& route, int status, double seconds);

  // One finished choice. `generated` counts its tokens.
  void request_finished(FinishReason reason, TimePoint arrival, TimePoint first_token,
                        TimePoint end, int generated);
  void prompt_accepted(int tokens, int image_tokens, int images);

  // Seconds of one picture's stage on an HTTP worker.
  void media_decode(double seconds) { media_decode_.Observe(seconds); }
  void media_preprocess(double seconds) { media_preprocess_.Observe(seconds); }
  void tokenize(double seconds) { tokenize_.Observe(seconds); }

  // Prometheus text format 0.0.4.
  std::string text(const EngineStats& stats) const;

 private:
  prometheus::Histogram& histogram(const char* name, const char* help,
                                   const prometheus::Histogram::BucketBoundaries& bounds);

  const std::string model_name_;
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& http_requests_;
  prometheus::Family<prometheus::Counter>& finished_;
  prometheus::Counter& prompt_tokens_;
  prometheus::Counter& generation_tokens_;
  prometheus::Counter& image_tokens_;
  prometheus::Counter& images_;
  prometheus::Histogram& http_seconds_;
  prometheus::Histogram& first_token_;
  prometheus::Histogram& per_token_;
  prometheus::Histogram& end_to_end_;
  prometheus::Histogram& media_decode_;
  prometheus::Histogram& media_preprocess_;
  prometheus::Histogram& tokenize_;
};

// Seconds since its construction.
class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  const TimePoint start_ = Clock::now();
};

}  // namespace saccade::api
