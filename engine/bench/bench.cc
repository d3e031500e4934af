#include "engine/bench/bench.h"

#include <algorithm>
#include <cstdio>
#include <random>

#include "engine/core/scheduler.h"

namespace saccade {
namespace {

double seconds_between(TimePoint a, TimePoint b) {
  return std::chrono::duration<double>(b - a).count();
}

struct Timing {
  double prefill_seconds = 0;  // steps that hold prompt chunks
  double decode_seconds = 0;   // steps of one token per sequence
  double host_seconds = 0;     // plan and commit
  int64_t prefill_tokens = 0;
  int64_t decode_tokens = 0;
  int decode_steps = 0;
};

SchedulerConfig scheduler_config(const LoadedModel& model, const BenchConfig& config, int batch) {
  return {.num_blocks = model.num_blocks,
          .block_size = model.block_size,
          .max_num_seqs = batch,
          .max_num_batched_tokens = std::max(config.max_num_batched_tokens, batch),
          .max_model_len = model.info.max_model_len,
          .max_encode_per_step = 1,
          .encoder_cache_tokens = 1 << 16,
          .eos_ids = {},
          .prefix_caching = false,
          .vocab_size = model.info.vocab_size};
}

Request random_request(const LoadedModel& model, const BenchConfig& config, std::mt19937& random) {
  std::uniform_int_distribution<TokenId> id(0, model.info.vocab_size - 1);
  Request request;
  for (int i = 0; i < config.prompt_tokens; ++i) request.prompt.push_back(id(random));
  request.sampling.temperature = 0;
  request.sampling.max_tokens = config.output_tokens;
  request.sampling.ignore_eos = true;
  request.stream = std::make_shared<TokenStream>();
  return request;
}

Timing run_batch(const LoadedModel& model, const BenchConfig& config, int batch) {
  Scheduler scheduler(scheduler_config(model, config, batch));
  std::mt19937 random(batch);
  for (int i = 0; i < batch; ++i) {
    Request request = random_request(model, config, random);
    request.id = i + 1;
    scheduler.admit({std::move(request), {}});
  }
  Timing timing;
  while (!scheduler.idle()) {
    const TimePoint start = Clock::now();
    const Batch& plan = scheduler.plan();
    if (plan.empty()) continue;
    const TimePoint planned = Clock::now();
    StepOutput output = model.executor->execute(plan);
    const TimePoint executed = Clock::now();
    const int tokens = plan.num_tokens();
    const bool decodes = tokens == static_cast<int>(plan.entries.size());
    scheduler.commit(std::move(output));
    timing.host_seconds +=
        seconds_between(start, planned) + seconds_between(executed, Clock::now());
    (decodes ? timing.decode_seconds : timing.prefill_seconds) +=
        seconds_between(planned, executed);
    (decodes ? timing.decode_tokens : timing.prefill_tokens) += tokens;
    timing.decode_steps += decodes ? 1 : 0;
  }
  return timing;
}

void print(const BenchConfig& config, int batch, const Timing& t) {
  const double prefill = t.prefill_seconds > 0 ? t.prefill_tokens / t.prefill_seconds : 0;
  const double decode = t.decode_seconds > 0 ? t.decode_tokens / t.decode_seconds : 0;
  const double step = t.decode_steps > 0 ? 1e3 * t.decode_seconds / t.decode_steps : 0;
  const double total = t.prefill_seconds + t.decode_seconds + t.host_seconds;
  const char* format =
      config.json
          ? "{\"batch\":%d,\"prompt_tokens\":%d,\"output_tokens\":%d,\"prefill_tokens_per_s\":%.1f,"
            "\"decode_tokens_per_s\":%.1f,\"decode_step_ms\":%.3f,\"host_share\":%.4f}\n"
          : "batch %3d  prompt %d  output %d  prefill %8.1f tok/s  decode %8.1f tok/s  step %.2f ms"
            "  host %.4f\n";
  std::printf(format, batch, config.prompt_tokens, config.output_tokens, prefill, decode, step,
              t.host_seconds / total);
  std::fflush(stdout);
}

EncoderInput random_picture(const ModelInfo& info, int index) {
  std::mt19937 random(index);
  std::normal_distribution<float> pixel;
  auto item = std::make_shared<MediaItem>();
  item->height = info.encoder_input.height;
  item->width = info.encoder_input.width;
  item->pixels.resize(size_t{3} * item->height * item->width);
  for (float& x : item->pixels) x = pixel(random);
  EncoderInput input;
  input.media = item;
  input.key.bytes[0] = static_cast<uint8_t>(index);
  input.key.bytes[1] = static_cast<uint8_t>(index >> 8);
  if (info.instruction_to_connector) input.instruction.assign(16, 1);
  return input;
}

void bench_images(const LoadedModel& model, const BenchConfig& config) {
  double seconds = 0;
  for (int i = 0; i < config.images + 1; ++i) {
    const EncoderInput input = random_picture(model.info, i);
    Batch batch;
    batch.encode = {{&input}};
    const TimePoint start = Clock::now();
    model.executor->execute(batch);
    if (i > 0) seconds += seconds_between(start, Clock::now());  // the first one warms up
    Batch drop;
    drop.evict = {input.key};
    model.executor->execute(drop);
  }
  const double each = 1e3 * seconds / config.images;
  std::printf(config.json ? "{\"images\":%d,\"encode_ms\":%.2f}\n" : "images %d  encode %.2f ms\n",
              config.images, each);
}

}  // namespace

void run_bench(const BenchConfig& config) {
  const LoadedModel model = load_model(config.model_dir, config.model);
  if (config.prompt_tokens + config.output_tokens > model.info.max_model_len) {
    throw LoadError("--prompt-tokens + --output-tokens: beyond the model's " +
                    std::to_string(model.info.max_model_len) + " positions");
  }
  BenchConfig warm_up = config;
  warm_up.output_tokens = 4;
  run_batch(model, warm_up, 1);
  for (const int batch : config.batches) print(config, batch, run_batch(model, config, batch));
  if (config.images > 0 && model.info.max_images > 0) bench_images(model, config);
}

}  // namespace saccade
