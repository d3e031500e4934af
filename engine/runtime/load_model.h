#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/model_executor.h"
#include "engine/core/model_info.h"
#include "engine/weights/quantization.h"

// The door between the torch-free program and the engine: no torch type in this header.
namespace saccade {

enum class DeviceKind { kAuto, kCpu, kCuda };
enum class DtypeKind { kAuto, kBfloat16, kFloat32, kFloat16 };
enum class KvCacheDtype { kAuto, kInt8 };

struct ModelOptions {
  DeviceKind device = DeviceKind::kAuto;
  DtypeKind dtype = DtypeKind::kAuto;  // auto: bfloat16 where the device computes in it
  Quantization quantization = Quantization::kAsStored;  // of the decoder's weights
  int num_threads = 0;                                  // compute threads; 0: all cores
  int block_size = 16;                                  // tokens of one KV block
  // KV pool: bytes, or a share of the free memory when > 0 (takes precedence).
  int64_t kv_cache_bytes = 0;  // 0: chosen from the model's length and max_num_seqs
  double kv_cache_fraction = 0;
  KvCacheDtype kv_cache_dtype = KvCacheDtype::kAuto;  // auto: what the model computes in
  int max_num_seqs = 64;
  // Decode steps of up to so many sequences are recorded as CUDA graphs; 0: none. GPU alone.
  int max_graph_rows = 256;
  int max_model_len = 0;  // 0: the model's own
  // PEFT LoRA folders; a request chooses one by its place in this list, from 1 on.
  std::vector<std::filesystem::path> adapters;
};

// A model ready to run, and the numbers the scheduler needs to plan for it.
struct LoadedModel {
  ModelInfo info;
  std::unique_ptr<ModelExecutor> executor;
  int num_blocks = 0;
  int block_size = 0;
  std::string device;          // "cpu", "cuda"
  std::string dtype;           // "bfloat16", …
  std::string kv_cache_dtype;  // the same, or "int8"
  int64_t weight_bytes = 0;    // resident, packed
  int64_t kv_cache_bytes = 0;
  std::vector<std::string> unused_tensors;  // names in the files that the family does not read
};

// Reads a Hugging Face folder. Throws LoadError: one line that names the file and the field.
LoadedModel load_model(const std::filesystem::path& folder, const ModelOptions& options);

// What the server needs to know of a folder's model, from its JSON files alone. Throws LoadError.
ModelInfo describe_model(const std::filesystem::path& folder);

// What a model is, without keeping its weights: the text `saccade inspect` prints.
std::string inspect_model(const std::filesystem::path& folder);

}  // namespace saccade
