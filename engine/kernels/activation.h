#pragma once

#include <cstdint>

#include "engine/kernels/element.h"

namespace saccade::kernels {

enum class Activation {
  // What the kernels compute.
  kNone,
  kGelu,       // x / 2 (1 + erf(x / sqrt(2)))
  kGeluTanh,   // x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  kQuickGelu,  // x / (1 + e^(-1.702 x))
  kRelu,
  kSilu,  // x / (1 + e^-x)
  // Rarer: layers compute these by operators. Their formulas are transformers' activations.py.
  kClippedGelu,
  kHardSwish,
  kLaplace,
  kLeakyRelu,
  kMish,
  kRelu6,
  kSigmoid,
  kSqrtSoftplus,
  kSquaredRelu,
  kTanh,
};

constexpr bool has_kernel(Activation activation) { return activation <= Activation::kSilu; }

// out[i] = round(activation(x[i])), in float32 inside; x may be out. Strides in elements. Here and
// below of activations that have a kernel alone.
void activate(Activation activation, ElementType type, int64_t rows, int64_t width, const void* x,
              int64_t x_stride, void* out, int64_t out_stride);

// out[i] = round(round(activation(x[i])) * up[i]): where the reference rounds.
// gate_up [rows, 2 * width]: x first. Strides in elements.
void gate_mul(Activation activation, ElementType type, int64_t rows, int64_t width,
              const void* gate_up, int64_t gate_up_stride, void* out, int64_t out_stride);

}  // namespace saccade::kernels
