#include "engine/runtime/device.h"

#include <ATen/ATen.h>

#include "engine/core/status.h"

namespace saccade {

bool cpu_computes_bfloat16() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16");
}

Placement resolve_placement(DeviceKind device, DtypeKind dtype) {
  Placement placement;
  if (device == DeviceKind::kCuda && !at::hasCUDA()) {
    throw LoadError("--device cuda: no CUDA device, or a libtorch without CUDA");
  }
  const bool cuda = device == DeviceKind::kCuda || (device == DeviceKind::kAuto && at::hasCUDA());
  placement.device = cuda ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  switch (dtype) {
    case DtypeKind::kFloat32:
      placement.dtype = at::kFloat;
      break;
    case DtypeKind::kFloat16:
      placement.dtype = cuda ? at::kHalf : at::kBFloat16;
      break;
    case DtypeKind::kBfloat16:
      placement.dtype = at::kBFloat16;
      break;
    case DtypeKind::kAuto:
      placement.dtype = cuda || cpu_computes_bfloat16() ? at::kBFloat16 : at::kFloat;
      break;
  }
  return placement;
}

void multiply_exactly() {
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
}

std::string device_name(at::Device device) { return device.is_cuda() ? "cuda" : "cpu"; }

std::string dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kBFloat16:
      return "bfloat16";
    case at::kHalf:
      return "float16";
    case at::kDouble:
      return "float64";
    case at::kChar:
      return "int8";
    default:
      return "float32";
  }
}

}  // namespace saccade
