#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

// What every kernel of this folder is made of.
namespace saccade::kernels::cuda {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T>
__device__ inline T rounded(float x);
template <>
__device__ inline float rounded<float>(float x) {
  return x;
}
template <>
__device__ inline __nv_bfloat16 rounded<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

// `N` elements that are loaded and stored at once.
template <typename T, int N>
struct alignas(N * sizeof(T)) Pack {
  T values[N];
};

template <typename T, int N>
__device__ inline Pack<T, N> load(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <typename T, int N>
__device__ inline void store(T* to, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// Elements of 16 bytes.
template <typename T>
constexpr int kWide = 16 / sizeof(T);

inline bool is_aligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

__device__ inline float sum_over_warp(float x) {
  for (int distance = 16; distance > 0; distance /= 2) {
    x += __shfl_xor_sync(0xffffffffu, x, distance);
  }
  return x;
}

// Of all threads of the block, to all of them.
__device__ inline float sum_over_block(float x) {
  __shared__ float sums[32];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  x = sum_over_warp(x);
  if (lane == 0) sums[warp] = x;
  __syncthreads();
  const int warps = (blockDim.x + 31) / 32;
  return sum_over_warp(lane < warps ? sums[lane] : 0.0f);
}

// Kernels of a step follow each other on one stream, and many are over within microseconds. So each
// may be started while the one before it still runs (programmatic dependent launch, compute
// capability 9.0): it does what needs nothing of it, and then waits.
__device__ inline void let_next_start() {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}
// Until all kernels before this one are done and what they wrote can be read. Every kernel calls it
// before it touches memory that others write or read.
__device__ inline void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

inline void check(cudaError_t error, const char* kernel) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(kernel) + ": " + cudaGetErrorString(error));
  }
}

// Of the first device that is asked: a process uses one.
inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "the GPU");
  check(cudaDeviceGetAttribute(&value, attribute, device), "the GPU");
  return value;
}

inline bool starts_early() {
  static const bool result = device_attribute(cudaDevAttrComputeCapabilityMajor) >= 9;
  return result;
}

inline int multiprocessors() {
  static const int result = device_attribute(cudaDevAttrMultiProcessorCount);
  return result;
}

// Bytes that a block may have at most.
inline int shared_memory() {
  static const int result = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  return result;
}

struct Grid {
  dim3 blocks;
  int threads;
  int smem = 0;  // bytes
};

// Puts kernel(arguments...) on the stream; `name` is for errors.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const Grid& grid, CUstream_st* stream,
            Arguments&&... arguments) {
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid.blocks;
  config.blockDim = dim3(static_cast<unsigned>(grid.threads));
  config.dynamicSmemBytes = static_cast<size_t>(grid.smem);
  config.stream = stream;
  config.attrs = &early;
  config.numAttrs = starts_early() ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), name);
}

// More shared memory than a kernel gets unasked; once per kernel.
template <auto kKernel, int kBytes>
inline void allow_smem() {
  static const cudaError_t error =
      cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  check(error, "shared memory");
}

// Calls `run` with a value of the element type.
template <typename Run>
void with_element(bool is_float32, const Run& run) {
  if (is_float32) {
    run(float{});
  } else {
    run(__nv_bfloat16{});
  }
}

}  // namespace saccade::kernels::cuda
