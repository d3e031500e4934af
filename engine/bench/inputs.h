#pragma once

#include <random>

#include "engine/core/request.h"
#include "engine/core/scheduler_config.h"
#include "engine/runtime/load_model.h"

// What the bench feeds an engine with: random, because speed does not depend on what is said.
namespace saccade {

// Sequences of one run.
struct BenchCase {
  int batch;  // that run at a time
  int prompt_tokens;
  int output_tokens;
};

SchedulerConfig scheduler_config(const LoadedModel& model, int max_num_batched_tokens, int batch);

// Words alone, greedy, of exactly that many tokens.
Request random_request(const LoadedModel& model, const BenchCase& shape, std::mt19937& random);

// Pixels that no other index has.
EncoderInput random_picture(const ModelInfo& info, int index);

// The same with a picture in front, whose visual tokens count as the prompt's. Throws LoadError
// where the prompt has no room for them.
Request random_request_with_picture(const LoadedModel& model, const BenchCase& shape, int index);

}  // namespace saccade
