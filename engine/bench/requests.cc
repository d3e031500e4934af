#include "engine/bench/requests.h"

#include <algorithm>
#include <cstdio>

#include "engine/bench/inputs.h"
#include "engine/core/scheduler.h"

namespace saccade {
namespace {

struct RequestsTiming {
  double seconds = 0;
  double executor_seconds = 0;
  int steps = 0;
};

// Requests [first, first + count), admitted before the clock starts.
RequestsTiming run_requests(const LoadedModel& model, const BenchConfig& config,
                            const BenchCase& shape, int first, int count) {
  Scheduler scheduler(scheduler_config(model, config.max_num_batched_tokens, shape.batch));
  for (int i = first; i < first + count; ++i) {
    Request request = random_request_with_picture(model, shape, i);
    request.id = i + 1;
    scheduler.admit({std::move(request), {}});
  }
  RequestsTiming timing;
  const TimePoint start = Clock::now();
  while (!scheduler.idle()) {
    const Batch& plan = scheduler.plan();
    if (plan.empty()) continue;
    const TimePoint planned = Clock::now();
    StepOutput output = model.executor->execute(plan);
    timing.executor_seconds += seconds_since(planned);
    ++timing.steps;
    if (!output.failures.empty()) throw LoadError(output.failures.front().second.message());
    scheduler.commit(std::move(output));
  }
  timing.seconds = seconds_since(start);
  return timing;
}

}  // namespace

void bench_requests(const LoadedModel& model, const BenchConfig& config) {
  if (model.info.max_images < 1) throw LoadError("--requests: the model takes no pictures");
  const BenchCase shape{config.batches.back(), config.prompt_tokens.front(), config.output_tokens};
  run_requests(model, config, shape, config.requests, std::min(config.requests, shape.batch));
  const RequestsTiming timing = run_requests(model, config, shape, 0, config.requests);
  std::printf(config.json ? "{\"requests\":%d,\"running\":%d,\"prompt_tokens\":%d,"
                            "\"output_tokens\":%d,\"requests_per_s\":%.2f,\"steps\":%d,"
                            "\"step_ms\":%.3f,\"host_share\":%.5f}\n"
                          : "requests %d, %d at a time  prompt %d  output %d  %.2f requests/s  "
                            "steps %d of %.2f ms  host %.4f\n",
              config.requests, shape.batch, shape.prompt_tokens, shape.output_tokens,
              config.requests / timing.seconds, timing.steps,
              1e3 * timing.executor_seconds / timing.steps,
              1 - timing.executor_seconds / timing.seconds);
}

}  // namespace saccade
