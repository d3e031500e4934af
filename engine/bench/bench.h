#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/runtime/load_model.h"

namespace saccade {

struct BenchConfig {
  std::filesystem::path model_dir;
  ModelOptions model;
  int prompt_tokens = 128;
  int output_tokens = 64;
  std::vector<int> batches = {1, 8, 16};
  int images = 0;  // encoder runs of one picture each, timed apart
  int max_num_batched_tokens = 512;
  bool json = false;
};

// Tokens per second and milliseconds per step of the engine alone: scheduler and executor on this
// thread, no HTTP, random ids, greedy, caches cold. One line per batch size on stdout (JSON with
// `json`). Throws LoadError.
void run_bench(const BenchConfig& config);

// Reads `MODEL_DIR [--prompt-tokens N] [--output-tokens N] [--batch N]... [--images N] [--dtype D]
// [--device D] [--threads N] [--json]` and runs. Returns the exit status.
int bench_main(const std::vector<std::string>& arguments);

}  // namespace saccade
