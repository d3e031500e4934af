#include "server/api/service/metrics.h"

#include <prometheus/text_serializer.h>

namespace saccade::api {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

const Buckets kLatencyBounds = {0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64,
                                1.28,  2.56,  5.12, 10.0, 20.0, 40.0, 80.0, 160.0};
const Buckets kStageBounds = {0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0};

const char* reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    default:
      return "error";
  }
}

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

// Families that are made from the engine's own numbers at each scrape.
class EngineFamilies {
 public:
  explicit EngineFamilies(const std::string& model_name) : model_name_(model_name) {}

  void gauge(const char* name, const char* help, double value) {
    add(name, help, prometheus::MetricType::Gauge).gauge.value = value;
  }
  void counter(const char* name, const char* help, uint64_t value) {
    add(name, help, prometheus::MetricType::Counter).counter.value = static_cast<double>(value);
  }
  void histogram(const char* name, const char* help, const DurationHistogram& values) {
    prometheus::ClientMetric::Histogram& out =
        add(name, help, prometheus::MetricType::Histogram).histogram;
    out.sample_count = values.count();
    out.sample_sum = values.sum();
    uint64_t below = 0;
    for (size_t i = 0; i < values.counts().size(); ++i) {
      below += values.counts()[i];
      const double bound = i < DurationHistogram::kBounds.size()
                               ? DurationHistogram::kBounds[i]
                               : std::numeric_limits<double>::infinity();
      out.bucket.push_back({below, bound});
    }
  }
  std::vector<prometheus::MetricFamily> take() { return std::move(families_); }

 private:
  prometheus::ClientMetric& add(const char* name, const char* help, prometheus::MetricType type) {
    prometheus::MetricFamily& family = families_.emplace_back();
    family.name = name;
    family.help = help;
    family.type = type;
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    metric.label.push_back({"model_name", model_name_});
    return metric;
  }

  const std::string& model_name_;
  std::vector<prometheus::MetricFamily> families_;
};

std::vector<prometheus::MetricFamily> engine_families(const EngineStats& stats,
                                                      const std::string& model_name) {
  const auto share = [](int used, int total) { return total > 0 ? double(used) / total : 0.0; };
  EngineFamilies out(model_name);
  out.gauge("saccade_num_requests_running", "Sequences in the running batch.", stats.running);
  out.gauge("saccade_num_requests_waiting", "Sequences accepted and not running.", stats.waiting);
  out.gauge("saccade_kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1.",
            share(stats.kv_blocks_used, stats.kv_blocks_total));
  out.gauge("saccade_kv_cache_blocks", "KV blocks of the pool.", stats.kv_blocks_total);
  out.gauge("saccade_encoder_cache_usage_perc", "Share of the encoder cache in use, 0 to 1.",
            share(stats.encoder_tokens_used, stats.encoder_tokens_total));
  out.counter("saccade_prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
              stats.prefix_queried_tokens);
  out.counter("saccade_prefix_cache_hits_total", "Prompt tokens found in the prefix cache.",
              stats.prefix_hit_tokens);
  out.counter("saccade_encoder_cache_queries_total", "Encoder outputs needed.",
              stats.encoder_hits + stats.encoder_misses);
  out.counter("saccade_encoder_cache_hits_total", "Encoder outputs found in the cache.",
              stats.encoder_hits);
  out.counter("saccade_tower_cache_hits_total",
              "Encoder outputs made for another question to a picture whose tower output was kept.",
              stats.tower_hits);
  out.counter("saccade_num_preemptions_total", "Sequences preempted.", stats.preemptions);
  out.counter("saccade_draft_tokens_total", "Guesses of next tokens that were computed.",
              stats.draft_tokens);
  out.counter("saccade_accepted_draft_tokens_total", "Guesses that were right.",
              stats.accepted_drafts);
  out.counter("saccade_engine_steps_total", "Batches executed.", stats.steps);
  out.counter("saccade_engine_batched_tokens_total", "Positions computed.", stats.batched_tokens);
  out.counter("saccade_engine_failed_steps_total", "Batches that failed.", stats.failed_steps);
  out.histogram("saccade_step_seconds", "One engine step.", stats.step);
  out.histogram("saccade_step_execute_seconds", "The model's part of a step.", stats.execute);
  out.histogram("saccade_step_host_seconds", "The scheduler's part of a step.", stats.host);
  out.histogram("saccade_media_encode_seconds", "Vision encoder and connector, per picture.",
                stats.encode);
  return out.take();
}

}  // namespace

prometheus::Histogram& Metrics::histogram(const char* name, const char* help,
                                          const Buckets& bounds) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_).Add(
      {{"model_name", model_name_}}, bounds);
}

Metrics::Metrics(const std::string& model_name)
    : model_name_(model_name),
      http_requests_(prometheus::BuildCounter()
                         .Name("saccade_http_requests_total")
                         .Help("HTTP requests by route and status.")
                         .Register(registry_)),
      finished_(prometheus::BuildCounter()
                    .Name("saccade_request_success_total")
                    .Help("Finished choices by reason.")
                    .Register(registry_)),
      prompt_tokens_(prometheus::BuildCounter()
                         .Name("saccade_prompt_tokens_total")
                         .Help("Prompt tokens of accepted requests, image tokens included.")
                         .Register(registry_)
                         .Add({{"model_name", model_name}})),
      generation_tokens_(prometheus::BuildCounter()
                             .Name("saccade_generation_tokens_total")
                             .Help("Tokens generated.")
                             .Register(registry_)
                             .Add({{"model_name", model_name}})),
      image_tokens_(prometheus::BuildCounter()
                        .Name("saccade_image_tokens_total")
                        .Help("Prompt tokens that are pictures.")
                        .Register(registry_)
                        .Add({{"model_name", model_name}})),
      images_(prometheus::BuildCounter()
                  .Name("saccade_images_total")
                  .Help("Pictures of accepted requests.")
                  .Register(registry_)
                  .Add({{"model_name", model_name}})),
      http_seconds_(histogram("saccade_http_request_duration_seconds",
                              "HTTP requests, from the head to the last byte.", kLatencyBounds)),
      first_token_(histogram("saccade_time_to_first_token_seconds",
                             "From acceptance to the first token.", kLatencyBounds)),
      per_token_(histogram("saccade_time_per_output_token_seconds",
                           "Mean time between two tokens of a choice.", kLatencyBounds)),
      end_to_end_(histogram("saccade_e2e_request_latency_seconds",
                            "From acceptance to the last token.", kLatencyBounds)),
      media_decode_(
          histogram("saccade_media_decode_seconds", "Decoding, per picture.", kStageBounds)),
      media_preprocess_(histogram("saccade_media_preprocess_seconds",
                                  "Resizing and normalising, per picture.", kStageBounds)),
      tokenize_(histogram("saccade_tokenize_seconds", "Template and tokeniser, per prompt.",
                          kStageBounds)) {
  for (const auto reason : {FinishReason::kStop, FinishReason::kLength, FinishReason::kCancelled,
                            FinishReason::kError}) {
    finished_.Add({{"model_name", model_name_}, {"finished_reason", reason_name(reason)}});
  }
}

void Metrics::http_request(const std::string& route, int status, double seconds) {
  http_requests_.Add({{"route", route}, {"status", std::to_string(status)}}).Increment();
  http_seconds_.Observe(seconds);
}

void Metrics::request_finished(FinishReason reason, TimePoint arrival, TimePoint first_token,
                               TimePoint end, int generated) {
  finished_.Add({{"model_name", model_name_}, {"finished_reason", reason_name(reason)}})
      .Increment();
  generation_tokens_.Increment(generated);
  end_to_end_.Observe(seconds_between(arrival, end));
  if (generated > 0) first_token_.Observe(seconds_between(arrival, first_token));
  if (generated > 1) per_token_.Observe(seconds_between(first_token, end) / (generated - 1));
}

void Metrics::prompt_accepted(int tokens, int image_tokens, int images) {
  prompt_tokens_.Increment(tokens);
  image_tokens_.Increment(image_tokens);
  images_.Increment(images);
}

std::string Metrics::text(const EngineStats& stats) const {
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  for (auto& family : engine_families(stats, model_name_)) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace saccade::api
