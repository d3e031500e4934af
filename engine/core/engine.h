#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/core/engine_stats.h"
#include "engine/core/model_executor.h"
#include "engine/core/request_queue.h"
#include "engine/core/scheduler.h"

namespace saccade {

struct EngineConfig {
  SchedulerConfig scheduler;
  int max_queue = 256;  // requests accepted and not yet taken into a batch
  // Told, on the engine thread, what execute() threw (the clients are not: it may hold addresses),
  // and why it failed single requests where the fault was not theirs.
  std::function<void(const std::string&)> log_error;
};

// Owns the engine thread, and through it the scheduler and the model. All members may be called
// from any thread but the engine's own.
class Engine {
 public:
  // Throws std::invalid_argument for a size that is not positive.
  Engine(EngineConfig config, std::unique_ptr<ModelExecutor> executor);
  ~Engine();  // stop()
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Accepts a request; its answer comes through its stream. kInvalidArgument: it can never run
  // (check_request); kResourceExhausted: the queue is full; kUnavailable: draining or stopped.
  Status submit(Request request);

  // The same for several (n > 1 choices of one prompt): all are accepted or none.
  Status submit_all(std::vector<Request> requests);

  // Refuses new work and waits for the accepted to end. False: the deadline passed before.
  bool drain(TimePoint deadline);

  // Refuses new work, ends the accepted with kCancelled after the current step, and joins the
  // thread. May be called again.
  void stop();

  EngineStats stats() const;

 private:
  void run();
  void step();
  std::optional<StepOutput> execute(const Batch& batch);
  void log_failures(const StepOutput& output) const;
  void publish_stats();

  const EngineConfig config_;
  const std::unique_ptr<ModelExecutor> executor_;  // engine thread
  Scheduler scheduler_;                            // engine thread
  DurationHistogram step_, execute_, host_;        // engine thread
  // Shared with the streams: one may be closed after the engine is gone.
  const std::shared_ptr<RequestQueue> queue_;

  mutable std::mutex stats_mutex_;
  EngineStats stats_;

  std::mutex stop_mutex_;  // one caller of stop() joins
  std::thread thread_;
};

}  // namespace saccade
