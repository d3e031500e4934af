#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "engine/runtime/load_model.h"

namespace saccade {

// Where and in what a model runs.
struct Placement {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
};

// Throws LoadError when the device asked for is not there. On a CPU `auto` means bfloat16 where the
// processor multiplies it (AVX512-BF16, AMX), else float32; float16 is run as bfloat16, because no
// x86 CPU in wide use computes in it.
Placement resolve_placement(DeviceKind device, DtypeKind dtype);

bool cpu_computes_bfloat16();

// float32 is float32: without this cuDNN rounds the inputs of convolutions to TF32's 10 bits.
void multiply_exactly();

// "cpu", "cuda"; "bfloat16", "float32", …
std::string device_name(at::Device device);
std::string dtype_name(at::ScalarType dtype);

}  // namespace saccade
