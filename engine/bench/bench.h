#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/runtime/load_model.h"

namespace saccade {

struct BenchConfig {
  std::filesystem::path model_dir;
  ModelOptions model;
  std::vector<int> prompt_tokens = {128};
  int output_tokens = 64;
  std::vector<int> batches = {1, 8, 16};
  int images = 0;        // pictures encoded in one step, timed apart
  int requests = 0;      // complete requests with a picture each (requests.h)
  bool ceiling = false;  // measure the machine first and report shares of it
  bool kernels = false;  // the CPU's kernels one by one instead of a model (kernels.h)
  int max_num_batched_tokens = 512;
  bool json = false;
};

// Tokens per second and milliseconds per step of the engine alone: scheduler and executor on this
// thread, no HTTP, random ids, greedy, caches cold; each step's time by class of kernel. Decode is
// the steps in which all sequences of the batch decode. One line per prompt length and batch size
// on stdout (JSON with `json`). Throws LoadError.
void run_bench(const BenchConfig& config);

// Reads the arguments of bench_main.cc's usage text and runs. Returns the exit status.
int bench_main(const std::vector<std::string>& arguments);

}  // namespace saccade
