#include "engine/core/engine.h"

#include <chrono>
#include <exception>

#include "engine/core/request_check.h"

namespace saccade {
namespace {

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

Engine::Engine(EngineConfig config, std::unique_ptr<ModelExecutor> executor)
    : config_(std::move(config)),
      executor_(std::move(executor)),
      scheduler_(config_.scheduler),
      queue_(std::make_shared<RequestQueue>(config_.max_queue)),
      stats_(scheduler_.stats()),
      thread_([this] { run(); }) {}

Engine::~Engine() { stop(); }

Status Engine::submit(Request request) {
  std::vector<Request> requests;
  requests.push_back(std::move(request));
  return submit_all(std::move(requests));
}

Status Engine::submit_all(std::vector<Request> requests) {
  for (const Request& request : requests) {
    if (Status status = check_request(request, config_.scheduler); !status.ok()) return status;
  }
  for (const Request& request : requests) {
    request.stream->on_close([queue = queue_] { queue->wake(); });
  }
  return queue_->submit(std::move(requests));
}

bool Engine::drain(TimePoint deadline) {
  queue_->refuse_new();
  return queue_->wait_until_idle(deadline);
}

void Engine::stop() {
  queue_->stop();
  std::lock_guard lock(stop_mutex_);
  if (thread_.joinable()) thread_.join();
}

EngineStats Engine::stats() const {
  EngineStats stats;
  {
    std::lock_guard lock(stats_mutex_);
    stats = stats_;
  }
  stats.waiting = queue_->waiting() + stats.preempted;
  return stats;
}

void Engine::run() {
  std::vector<QueuedRequest> incoming;
  while (queue_->drain(incoming, /*block=*/scheduler_.idle())) {
    for (QueuedRequest& request : incoming) scheduler_.admit(std::move(request));
    incoming.clear();
    step();
    publish_stats();
  }
  for (QueuedRequest& request : queue_->take_rest()) scheduler_.admit(std::move(request));
  scheduler_.cancel_all();
  publish_stats();
}

void Engine::step() {
  const TimePoint start = Clock::now();
  const Batch& batch = scheduler_.plan();
  if (batch.empty()) return;
  const TimePoint planned = Clock::now();
  std::optional<StepOutput> output = execute(batch);
  const TimePoint executed = Clock::now();
  if (output) {
    log_failures(*output);
    scheduler_.commit(std::move(*output));
  } else {
    scheduler_.fail(Status(StatusCode::kInternal, "the model failed on this request's batch"));
  }
  const TimePoint committed = Clock::now();
  step_.observe(seconds(committed - start));
  execute_.observe(seconds(executed - planned));
  host_.observe(seconds((planned - start) + (committed - executed)));
}

// The one place where exceptions of the model end.
std::optional<StepOutput> Engine::execute(const Batch& batch) {
  std::string reason;
  try {
    return executor_->execute(batch);
  } catch (const std::exception& error) {
    reason = error.what();
  } catch (...) {
    reason = "unknown exception";
  }
  if (config_.log_error) config_.log_error("a step failed: " + reason);
  return std::nullopt;
}

// What the model could not do for one request is the server's fault: its operator is told, too.
void Engine::log_failures(const StepOutput& output) const {
  if (!config_.log_error) return;
  for (const std::string& reason : output.encode_failures) {
    config_.log_error("a picture could not be encoded: " + reason);
  }
  for (const auto& [entry, status] : output.failures) {
    if (status.code() == StatusCode::kInternal) {
      config_.log_error("a request failed: " + status.message());
    }
  }
}

void Engine::publish_stats() {
  EngineStats stats = scheduler_.stats();
  stats.step = step_;
  stats.execute = execute_;
  stats.host = host_;
  std::lock_guard lock(stats_mutex_);
  stats_ = stats;
}

}  // namespace saccade
