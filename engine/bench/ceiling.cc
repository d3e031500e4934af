#include "engine/bench/ceiling.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <atomic>
#include <cstdint>

#include "engine/bench/timing.h"

namespace saccade {
namespace {

double read_gb_per_s() {
  constexpr int64_t kWords = int64_t{1} << 26;  // of 8 bytes: beyond every cache
  const at::Tensor words = at::ones({kWords}, at::kLong);
  const int64_t* data = words.const_data_ptr<int64_t>();
  std::atomic<int64_t> total{0};
  const double seconds = best_seconds([&] {
    at::parallel_for(0, kWords, kWords / at::get_num_threads(), [&](int64_t begin, int64_t end) {
      int64_t sums[8] = {};
      for (int64_t i = begin; i + 8 <= end; i += 8) {
        for (int lane = 0; lane < 8; ++lane) sums[lane] += data[i + lane];
      }
      for (const int64_t sum : sums) total += sum;
    });
  });
  return 8.0 * kWords / seconds / 1e9;
}

// What work on a GPU takes that is put there `kRepeats` times and waited for once.
template <class Work>
double gpu_seconds(const at::Tensor& result, const Work& work) {
  constexpr int kRepeats = 10;
  return best_seconds([&] {
           for (int i = 0; i < kRepeats; ++i) work();
           result.flatten()[0].item();
         }) /
         kRepeats;
}

// Bytes read and bytes written.
double copied_gb_per_s(at::Device device) {
  const at::Tensor from = at::ones({int64_t{1} << 28}, at::dtype(at::kLong).device(device));
  at::Tensor to = at::empty_like(from);
  return 2.0 * from.nbytes() / gpu_seconds(to, [&] { to.copy_(from); }) / 1e9;
}

double gemm_gflop_per_s(at::ScalarType dtype, at::Device device) {
  const int64_t side = device.is_cpu() ? 1024 : 8192;
  const at::Tensor a = at::randn({side, side}).to(device, dtype);
  const at::Tensor b = at::randn({side, side}).to(device, dtype);
  at::Tensor c = at::empty({side, side}, a.options());
  const auto work = [&] { at::mm_out(c, a, b); };
  const double seconds = device.is_cpu() ? best_seconds(work) : gpu_seconds(c, work);
  return 2.0 * side * side * side / seconds / 1e9;
}

}  // namespace

Ceiling measure_ceiling(at::Device device) {
  const c10::InferenceMode guard;
  return {.read_gb_per_s = device.is_cpu() ? read_gb_per_s() : copied_gb_per_s(device),
          .gemm_f32_gflop_per_s = gemm_gflop_per_s(at::kFloat, device),
          .gemm_bf16_gflop_per_s = gemm_gflop_per_s(at::kBFloat16, device)};
}

}  // namespace saccade
