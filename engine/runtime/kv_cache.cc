#include "engine/runtime/kv_cache.h"

#include <ATen/ATen.h>

#include <fstream>
#include <string>

#include "engine/layers/device_kernels.h"

namespace saccade {

int64_t cache_bytes_per_token(const CacheShape& shape, at::ScalarType dtype) {
  const auto numbers = shape.head_dim * static_cast<int64_t>(at::elementSize(dtype));
  const int64_t scale = dtype == at::kChar ? sizeof(float) : 0;
  return int64_t{2} * shape.layers * shape.kv_heads * (numbers + scale);
}

KVCache make_kv_cache(const CacheShape& shape, int num_blocks, int block_size, at::ScalarType dtype,
                      at::Device device) {
  const auto options = at::dtype(dtype).device(device);
  KVCache cache;
  for (int i = 0; i < shape.layers; ++i) {
    const std::array<int64_t, 4> size = {num_blocks, shape.kv_heads, block_size, shape.head_dim};
    cache.push_back({at::empty(size, options), at::empty(size, options)});
    if (dtype != at::kChar) continue;
    LayerCache& layer = cache.back();
    const at::IntArrayRef rows = at::IntArrayRef(size).slice(0, 3);
    layer.key_scales = at::empty(rows, options.dtype(at::kFloat));
    layer.value_scales = at::empty(rows, options.dtype(at::kFloat));
  }
  return cache;
}

int64_t free_memory_bytes(at::Device device) {
  if (device.is_cuda()) {
    const int64_t free = device_kernels::free_gpu_memory();
    return free > 0 ? free : int64_t{16} << 30;
  }
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  int64_t kib = 0;
  std::string unit;
  while (meminfo >> key >> kib >> unit) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return int64_t{4} << 30;
}

}  // namespace saccade
