#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "engine/bench/bench.h"
#include "engine/bench/kernels.h"
#include "engine/core/status.h"

namespace saccade {
namespace {

constexpr const char* kUsage =
    "usage: bench MODEL [--prompt-tokens N]... [--output-tokens N] [--batch N]... [--images "
    "N]\n"
    "             [--requests N] [--graph-rows N]\n"
    "             [--device auto|cpu|cuda] [--dtype auto|bfloat16|float32|float16] [--threads N]\n"
    "             [--quantization auto|none|int8|int4] [--kv-cache-dtype auto|int8]\n"
    "             [--max-num-batched-tokens N] [--ceiling] [--json]\n"
    "       bench --kernels [--threads N] [--json]\n";

int count(const std::string& option, const std::string& text, int least = 0) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < least || value > 1 << 24) {
    throw std::invalid_argument(option + ": expected a number from " + std::to_string(least) +
                                " on, got \"" + text + "\"");
  }
  return static_cast<int>(value);
}

int positive(const std::string& option, const std::string& text) { return count(option, text, 1); }

DtypeKind dtype(const std::string& text) {
  if (text == "auto") return DtypeKind::kAuto;
  if (text == "bfloat16") return DtypeKind::kBfloat16;
  if (text == "float32") return DtypeKind::kFloat32;
  if (text == "float16") return DtypeKind::kFloat16;
  throw std::invalid_argument("--dtype: unknown \"" + text + "\"");
}

DeviceKind device(const std::string& text) {
  if (text == "auto") return DeviceKind::kAuto;
  if (text == "cpu") return DeviceKind::kCpu;
  if (text == "cuda") return DeviceKind::kCuda;
  throw std::invalid_argument("--device: unknown \"" + text + "\"");
}

Quantization quantization(const std::string& text) {
  if (text == "auto") return Quantization::kAsStored;
  if (text == "none") return Quantization::kNone;
  if (text == "int8") return Quantization::kInt8;
  if (text == "int4") return Quantization::kInt4;
  throw std::invalid_argument("--quantization: unknown \"" + text + "\"");
}

KvCacheDtype kv_cache_dtype(const std::string& text) {
  if (text == "auto") return KvCacheDtype::kAuto;
  if (text == "int8") return KvCacheDtype::kInt8;
  throw std::invalid_argument("--kv-cache-dtype: unknown \"" + text + "\"");
}

BenchConfig parse(const std::vector<std::string>& arguments) {
  BenchConfig config;
  std::vector<int> batches, prompts;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& option = arguments[i];
    if (!option.starts_with("--")) {
      config.model_dir = option;
      continue;
    }
    if (option == "--json") {
      config.json = true;
      continue;
    }
    if (option == "--ceiling") {
      config.ceiling = true;
      continue;
    }
    if (option == "--kernels") {
      config.kernels = true;
      continue;
    }
    if (i + 1 >= arguments.size()) throw std::invalid_argument(option + ": a value is missing");
    const std::string& value = arguments[++i];
    if (option == "--prompt-tokens")
      prompts.push_back(positive(option, value));
    else if (option == "--output-tokens")
      config.output_tokens = positive(option, value);
    else if (option == "--batch")
      batches.push_back(positive(option, value));
    else if (option == "--images")
      config.images = positive(option, value);
    else if (option == "--requests")
      config.requests = positive(option, value);
    else if (option == "--graph-rows")
      config.model.max_graph_rows = count(option, value);
    else if (option == "--threads")
      config.model.num_threads = positive(option, value);
    else if (option == "--max-num-batched-tokens")
      config.max_num_batched_tokens = positive(option, value);
    else if (option == "--dtype")
      config.model.dtype = dtype(value);
    else if (option == "--quantization")
      config.model.quantization = quantization(value);
    else if (option == "--kv-cache-dtype")
      config.model.kv_cache_dtype = kv_cache_dtype(value);
    else if (option == "--device")
      config.model.device = device(value);
    else
      throw std::invalid_argument("unknown option " + option);
  }
  if (!batches.empty()) config.batches = batches;
  if (!prompts.empty()) config.prompt_tokens = prompts;
  if (config.kernels != config.model_dir.empty()) {
    throw std::invalid_argument(config.kernels ? "--kernels takes no MODEL" : "MODEL is missing");
  }
  return config;
}

}  // namespace

int bench_main(const std::vector<std::string>& arguments) {
  try {
    if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
      std::fputs(kUsage, stdout);
      return 0;
    }
    const BenchConfig config = parse(arguments);
    if (config.kernels) {
      if (config.model.num_threads > 0) at::set_num_threads(config.model.num_threads);
      bench_kernels(config.json);
    } else {
      run_bench(config);
    }
    return 0;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "%s\n%s", error.what(), kUsage);
    return 2;
  } catch (const LoadError& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}

}  // namespace saccade
