#include "engine/bench/bench.h"

#include <algorithm>
#include <cstdio>
#include <random>

#include "engine/bench/ceiling.h"
#include "engine/bench/inputs.h"
#include "engine/bench/requests.h"
#include "engine/core/scheduler.h"
#include "engine/layers/step_profile.h"

namespace saccade {
namespace {

// As std::snprintf, into a string.
template <typename... Args>
std::string format(const char* pattern, Args... args) {
  char text[128];
  std::snprintf(text, sizeof text, pattern, args...);
  return text;
}

double seconds_between(TimePoint a, TimePoint b) {
  return std::chrono::duration<double>(b - a).count();
}

// Steps of one kind: those with prompt chunks, or those of one token for each of all sequences.
struct Phase {
  double seconds = 0;  // in the executor
  int64_t tokens = 0;
  int steps = 0;
  StepProfile profile;

  double tokens_per_s() const { return seconds > 0 ? tokens / seconds : 0; }
  double step_ms() const { return steps > 0 ? 1e3 * seconds / steps : 0; }
};

struct Timing {
  Phase prefill;
  Phase decode;
  Phase rest;               // decodes of fewer sequences: the others are done
  double host_seconds = 0;  // plan and commit
  double host_share() const {
    return host_seconds / (host_seconds + prefill.seconds + decode.seconds + rest.seconds);
  }
  Phase& phase_of(const Batch& plan, int batch) {
    const int entries = static_cast<int>(plan.entries.size());
    if (plan.num_tokens() > entries) return prefill;
    return entries == batch ? decode : rest;
  }
};

Timing run_case(const LoadedModel& model, const BenchConfig& config, const BenchCase& shape) {
  Scheduler scheduler(scheduler_config(model, config.max_num_batched_tokens, shape.batch));
  std::mt19937 random(shape.batch);
  for (int i = 0; i < shape.batch; ++i) {
    Request request = random_request(model, shape, random);
    request.id = i + 1;
    scheduler.admit({std::move(request), {}});
  }
  Timing timing;
  while (!scheduler.idle()) {
    const TimePoint start = Clock::now();
    const Batch& plan = scheduler.plan();
    if (plan.empty()) continue;
    const int tokens = plan.num_tokens();
    Phase& phase = timing.phase_of(plan, shape.batch);
    const ProfileCollection collection(phase.profile);
    const TimePoint planned = Clock::now();
    StepOutput output = model.executor->execute(plan);
    const TimePoint executed = Clock::now();
    scheduler.commit(std::move(output));
    timing.host_seconds += seconds_between(start, planned) + seconds_since(executed);
    phase.seconds += seconds_between(planned, executed);
    phase.tokens += tokens;
    ++phase.steps;
  }
  return timing;
}

// A GPU's first steps of a size are others: they are recorded (decode_graphs.h), libraries choose
// their kernels, memory is taken.
void warm_up(const LoadedModel& model, const BenchConfig& config, const BenchCase& shape) {
  if (model.device != "cpu") {
    run_case(model, config, shape);
  } else if (shape.batch == config.batches.front()) {
    run_case(model, config, {1, shape.prompt_tokens, 4});
  }
}

double share(double value, double ceiling) { return ceiling > 0 ? value / ceiling : 0; }

// Milliseconds per step by class of kernel; "other" is what no class has claimed.
std::string classes_json(const Phase& phase) {
  std::string text = "{";
  double other = phase.seconds;
  const double scale = phase.steps > 0 ? 1e3 / phase.steps : 0;
  for (size_t i = 0; i < kKernelClassNames.size(); ++i) {
    other -= phase.profile.seconds[i];
    text += format("\"%s\":%.3f,", kKernelClassNames[i], scale * phase.profile.seconds[i]);
  }
  return text + format("\"other\":%.3f}", scale * other);
}

// Of the whole phase, not of the linear layers alone: what is lost elsewhere counts as lost.
double read_gb_per_s(const Phase& phase) {
  return phase.seconds > 0 ? phase.profile.weight_bytes / phase.seconds / 1e9 : 0;
}
double gflop_per_s(const Phase& phase) {
  return phase.seconds > 0 ? phase.profile.flops / phase.seconds / 1e9 : 0;
}

void print_json(const BenchCase& shape, const Timing& t, const Ceiling& ceiling) {
  std::printf(
      "{\"batch\":%d,\"prompt_tokens\":%d,\"output_tokens\":%d,"
      "\"prefill_tokens_per_s\":%.1f,\"prefill_gflop_per_s\":%.1f,"
      "\"prefill_gflop_share\":%.3f,\"prefill_step_ms\":%.3f,"
      "\"prefill_ms\":%s,\"decode_tokens_per_s\":%.1f,\"decode_step_ms\":%.3f,"
      "\"decode_weights_gb_per_s\":%.2f,\"decode_bandwidth_share\":%.3f,"
      "\"decode_ms\":%s,\"host_share\":%.5f}\n",
      shape.batch, shape.prompt_tokens, shape.output_tokens, t.prefill.tokens_per_s(),
      gflop_per_s(t.prefill), share(gflop_per_s(t.prefill), ceiling.gemm_gflop_per_s()),
      t.prefill.step_ms(), classes_json(t.prefill).c_str(), t.decode.tokens_per_s(),
      t.decode.step_ms(), read_gb_per_s(t.decode),
      share(read_gb_per_s(t.decode), ceiling.read_gb_per_s), classes_json(t.decode).c_str(),
      t.host_share());
}

void print_text(const BenchCase& shape, const Timing& t, const Ceiling& ceiling) {
  std::printf(
      "batch %3d  prompt %4d  output %4d  prefill %8.1f tok/s  decode %8.1f tok/s  "
      "step %6.2f ms  host %.4f\n",
      shape.batch, shape.prompt_tokens, shape.output_tokens, t.prefill.tokens_per_s(),
      t.decode.tokens_per_s(), t.decode.step_ms(), t.host_share());
  std::printf("           prefill ms %s  %.0f GFLOP/s", classes_json(t.prefill).c_str(),
              gflop_per_s(t.prefill));
  if (ceiling.read_gb_per_s > 0) {
    std::printf(" (%.0f %%)", 100 * share(gflop_per_s(t.prefill), ceiling.gemm_gflop_per_s()));
  }
  std::printf("\n           decode  ms %s  %.1f GB/s of weights", classes_json(t.decode).c_str(),
              read_gb_per_s(t.decode));
  if (ceiling.read_gb_per_s > 0) {
    std::printf(" (%.0f %%)", 100 * share(read_gb_per_s(t.decode), ceiling.read_gb_per_s));
  }
  std::printf("\n");
}

Ceiling report_ceiling(const BenchConfig& config, const LoadedModel& model) {
  const Ceiling ceiling =
      measure_ceiling(model.device == "cpu" ? at::Device(at::kCPU) : at::Device(at::kCUDA, 0));
  std::printf(config.json ? "{\"ceiling\":{\"read_gb_per_s\":%.2f,\"gemm_f32_gflop_per_s\":%.1f,"
                            "\"gemm_bf16_gflop_per_s\":%.1f}}\n"
                          : "ceiling  read %.1f GB/s  float32 product %.0f GFLOP/s  bfloat16 "
                            "product %.0f GFLOP/s\n",
              ceiling.read_gb_per_s, ceiling.gemm_f32_gflop_per_s, ceiling.gemm_bf16_gflop_per_s);
  return ceiling;
}

// Pictures of `count` requests encoded in one step, all different; averages over the rounds.
void bench_images(const LoadedModel& model, const BenchConfig& config, const Ceiling& ceiling) {
  constexpr int kRounds = 5;
  std::vector<EncoderInput> inputs;
  for (int i = 0; i < config.images; ++i) inputs.push_back(random_picture(model.info, i));
  Batch batch, drop;
  for (const EncoderInput& input : inputs) {
    batch.encode.push_back({&input});
    drop.evict.push_back(input.key);
  }
  Phase phase;
  for (int round = 0; round < kRounds + 1; ++round) {
    StepProfile warm_up;
    const ProfileCollection collection(round > 0 ? phase.profile : warm_up);
    const TimePoint start = Clock::now();
    model.executor->execute(batch);
    if (round > 0) phase.seconds += seconds_between(start, Clock::now());
    model.executor->execute(drop);
  }
  phase.steps = kRounds;
  const double each = 1e3 * phase.seconds / kRounds / config.images;
  const double gflop = gflop_per_s(phase);
  std::printf(config.json ? "{\"images\":%d,\"encode_ms\":%.3f,\"encode_gflop_per_s\":%.1f,"
                            "\"encode_gflop_share\":%.3f,\"encode_step_ms\":%s}\n"
                          : "images %d  encode %.2f ms each  %.0f GFLOP/s (%.2f)  step ms %s\n",
              config.images, each, gflop, share(gflop, ceiling.gemm_gflop_per_s()),
              classes_json(phase).c_str());
}

}  // namespace

void run_bench(const BenchConfig& config) {
  const LoadedModel model = load_model(config.model_dir, config.model);
  const int longest = *std::max_element(config.prompt_tokens.begin(), config.prompt_tokens.end());
  if (longest + config.output_tokens > model.info.max_model_len) {
    throw LoadError("--prompt-tokens + --output-tokens: beyond the model's " +
                    std::to_string(model.info.max_model_len) + " positions");
  }
  const Ceiling ceiling = config.ceiling ? report_ceiling(config, model) : Ceiling{};
  for (const int prompt : config.prompt_tokens) {
    for (const int batch : config.batches) {
      const BenchCase shape{batch, prompt, config.output_tokens};
      warm_up(model, config, shape);
      const Timing timing = run_case(model, config, shape);
      (config.json ? print_json : print_text)(shape, timing, ceiling);
      std::fflush(stdout);
    }
  }
  if (config.images > 0 && model.info.max_images > 0) bench_images(model, config, ceiling);
  if (config.requests > 0) bench_requests(model, config);
}

}  // namespace saccade
