#pragma once

#include <cstdint>

#include "engine/kernels/activation.h"

namespace saccade::kernels {

// What becomes of a linear layer's outputs while they are still in the cache. Each step is rounded
// to the output's type, as operators of their own would.
struct Epilogue {
  Activation activation = Activation::kNone;
  // Added last: [m, n] of the output's type, rows residual_stride elements apart.
  const void* residual = nullptr;
  int64_t residual_stride = 0;
};

}  // namespace saccade::kernels
