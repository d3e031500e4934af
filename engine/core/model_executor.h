#pragma once

#include "engine/core/batch.h"

namespace saccade {

// Runs a batch. Called by the engine thread alone. May throw: the engine then fails the requests of
// that batch and goes on. The executor keeps no policy; which blocks and which encoder outputs live
// where is the scheduler's decision, which it obeys.
class ModelExecutor {
 public:
  virtual ~ModelExecutor() = default;
  virtual StepOutput execute(const Batch& batch) = 0;
};

}  // namespace saccade
