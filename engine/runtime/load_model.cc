#include "engine/runtime/load_model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <omp.h>

#include <algorithm>

#include "engine/models/adapter.h"
#include "engine/models/registry.h"
#include "engine/runtime/device.h"
#include "engine/runtime/kv_cache.h"
#include "engine/runtime/torch_executor.h"
#include "engine/weights/checkpoint.h"
#include "engine/weights/weight_map.h"

namespace saccade {
namespace {

// Unless told otherwise the pool takes this share of the free memory at most, and no more than
// kDefaultPoolBytes: pages are only touched when used, but a machine has other tenants.
constexpr double kDefaultPoolShare = 0.4;
constexpr int64_t kDefaultPoolBytes = int64_t{4} << 30;
// Of a GPU's memory, which the server has to itself.
constexpr double kDefaultGpuShare = 0.85;

// `wanted` in bytes; a double because a long model times many sequences passes an int64.
int64_t pool_bytes(const ModelOptions& options, double wanted, at::Device device) {
  const auto free = static_cast<double>(free_memory_bytes(device));
  if (options.kv_cache_fraction > 0) return static_cast<int64_t>(free * options.kv_cache_fraction);
  if (options.kv_cache_bytes > 0) return options.kv_cache_bytes;
  const double most = device.is_cuda()
                          ? free * kDefaultGpuShare
                          : std::min<double>(kDefaultPoolBytes, free * kDefaultPoolShare);
  return static_cast<int64_t>(std::min(wanted, most));
}

// Blocks of the pool: enough for max_num_seqs full sequences where memory allows it.
int pool_blocks(const ModelOptions& options, int64_t block_bytes, int max_model_len,
                at::Device device) {
  const int64_t blocks_per_sequence = (max_model_len + options.block_size - 1) / options.block_size;
  const double wanted = static_cast<double>(blocks_per_sequence) * options.max_num_seqs *
                        static_cast<double>(block_bytes);
  const int64_t blocks = pool_bytes(options, wanted, device) / block_bytes;
  if (blocks < 1) {
    throw LoadError("--kv-cache-memory: too small for one block of " + std::to_string(block_bytes) +
                    " bytes");
  }
  return static_cast<int>(std::min<int64_t>(blocks, 1 << 24));
}

// What the pool holds. Throws LoadError where it cannot be int8.
at::ScalarType pool_type(const ModelOptions& options, const CacheShape& shape,
                         const Placement& placement) {
  if (options.kv_cache_dtype == KvCacheDtype::kAuto) return placement.dtype;
  if (shape.exact) throw LoadError("--kv-cache-dtype: this model needs its cache exact");
  return at::kChar;
}

struct BuiltModel {
  std::unique_ptr<VisionLanguageModel> model;
  std::vector<std::string> unused;
  int64_t weight_bytes = 0;
};

void add_adapters(VisionLanguageModel& model, const ModelFamily& family,
                  const std::vector<std::filesystem::path>& folders, const Placement& placement) {
  int number = 0;
  for (const std::filesystem::path& folder : folders) {
    const std::unique_ptr<Adapter> adapter =
        Adapter::open(folder, family.renames, placement.dtype, placement.device);
    model.add_adapter(++number, *adapter);
    adapter->check_all_applied();
  }
}

BuiltModel build_model(const ModelFolder& folder, const ModelFamily& family,
                       const Placement& placement, Quantization quantization) {
  const auto checkpoint = std::make_shared<const Checkpoint>(folder.path());
  WeightMap weights(checkpoint, family.renames, placement.dtype, placement.device, quantization);
  BuiltModel built;
  built.model = family.build(folder, weights.root());
  built.unused = weights.unused(family.unread);
  for (const TensorView* view : checkpoint->tensors()) {
    built.weight_bytes += view->elements() * static_cast<int64_t>(at::elementSize(placement.dtype));
  }
  weights.leave_files();
  return built;
}

void limit_model_len(ModelInfo& info, const ModelOptions& options) {
  if (options.max_model_len <= 0) return;
  if (options.max_model_len > info.max_model_len) {
    throw LoadError("--max-model-len: " + std::to_string(options.max_model_len) +
                    " is beyond the model's " + std::to_string(info.max_model_len) +
                    " positions (config.json: max_position_embeddings)");
  }
  info.max_model_len = options.max_model_len;
}

}  // namespace

ModelInfo describe_model(const std::filesystem::path& path) {
  const ModelFolder folder(path);
  return find_family(folder).describe(folder);
}

LoadedModel load_model(const std::filesystem::path& path, const ModelOptions& options) {
  const c10::InferenceMode guard;
  const ModelFolder folder(path);
  const ModelFamily& family = find_family(folder);
  const Placement placement = resolve_placement(options.device, options.dtype);
  const bool integers =
      options.quantization == Quantization::kInt8 || options.quantization == Quantization::kInt4;
  if (integers && !placement.device.is_cpu()) {
    throw LoadError("--quantization: integer weights run on a CPU only");
  }
  if (options.kv_cache_dtype == KvCacheDtype::kInt8 && !placement.device.is_cpu()) {
    throw LoadError("--kv-cache-dtype: int8 keys and values run on a CPU only");
  }
  if (options.num_threads > 0) at::set_num_threads(options.num_threads);
  multiply_exactly();

  LoadedModel loaded;
  loaded.info = family.describe(folder);
  limit_model_len(loaded.info, options);
  try {
    BuiltModel built = build_model(folder, family, placement, options.quantization);
    add_adapters(*built.model, family, options.adapters, placement);
    const CacheShape shape = built.model->cache_shape();
    const at::ScalarType cache_dtype = pool_type(options, shape, placement);
    const int64_t block_bytes = cache_bytes_per_token(shape, cache_dtype) * options.block_size;
    loaded.num_blocks =
        pool_blocks(options, block_bytes, loaded.info.max_model_len, placement.device);
    loaded.block_size = options.block_size;
    loaded.kv_cache_bytes = block_bytes * loaded.num_blocks;
    loaded.kv_cache_dtype = dtype_name(cache_dtype);
    loaded.weight_bytes = built.weight_bytes;
    loaded.unused_tensors = std::move(built.unused);
    loaded.info.prefix_cacheable = built.model->prefix_cacheable();
    loaded.executor = std::make_unique<TorchExecutor>(
        std::move(built.model),
        TorchExecutor::Options{placement, cache_dtype, loaded.num_blocks, options.block_size,
                               options.num_threads, loaded.info.eos_ids,
                               loaded.info.keys.answer_shift, options.max_graph_rows});
  } catch (const c10::Error& error) {
    throw LoadError(path.string() + ": " + error.what_without_backtrace());
  }
  // This thread's helpers go. As long as they exist beside those of the engine's thread, OpenMP
  // sees more threads than cores and lets all of them sleep between two kernels.
  omp_pause_resource(omp_pause_soft, omp_get_initial_device());
  loaded.device = device_name(placement.device);
  loaded.dtype = dtype_name(placement.dtype);
  return loaded;
}

}  // namespace saccade
